package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// bank is accounts that money is moved between: it is withdrawn from one, and when
// that is certain it is deposited in another. Both are CAS under an Idempotency-Key.
// An account that is not there holds what all begin with. Whoever looks at all of them
// at once sees the sum, less what is on its way.
type bank struct{ l *load }

const (
	accounts     = 6
	firstBalance = 100
	mostMoved    = 20
	// depositFor is how long a deposit is tried. What could not be deposited stays
	// on its way.
	depositFor = 30 * time.Second
)

func (w bank) account(n int) string { return w.l.key(ofBank, strconv.Itoa(n)) }

func (w bank) prefix() string { return w.l.key(ofBank, "") }

func (w bank) join(c *client) func() {
	return func() {
		if c.chance(3) {
			w.look(c)
			return
		}
		pair := c.random.Perm(accounts)
		w.transfer(c, w.account(pair[0]), w.account(pair[1]), 1+c.random.IntN(mostMoved))
	}
}

// look reads all accounts at once, in one of two ways.
func (w bank) look(c *client) bool {
	o := Op{Workload: ofBank, Key: w.prefix()}
	if c.chance(2) {
		_, ok := c.scan(c.here, o, accounts)
		return ok
	}
	var keys []string
	for n := range accounts {
		keys = append(keys, w.account(n))
	}
	_, ok := c.getMany(c.here, o, keys)
	return ok
}

func (w bank) closing(c *client) bool { return w.look(c) }

func (w bank) transfer(c *client, from, to string, amount int) {
	if w.move(c, c.here, from, -amount).Result != OK {
		return // it has not happened, or nobody knows
	}
	for end := c.l.since() + depositFor; c.l.since() < end; time.Sleep(retryPause) {
		if r := w.move(c, c.l.front, to, amount).Result; r == OK || r == Unknown {
			return
		}
	}
}

// move adds to what an account holds, once. Without a result it was refused, or was
// not tried.
func (w bank) move(c *client, at *place, account string, amount int) Op {
	seen, ok := c.get(at, Op{Workload: ofBank, Key: account}, w.l.promise.strong())
	held := balance(seen.Value)
	if !ok || held+amount < 0 {
		return Op{}
	}
	return c.certain(at, Op{
		Workload: ofBank, Key: account, Kind: CAS,
		Value: strconv.Itoa(held + amount), Expect: seen.Value, Amount: amount,
	}, unchanged(seen)...)
}

// balance is what an account holds, -1 where its value is no number.
func balance(value string) int {
	if value == "" {
		return firstBalance
	}
	return number(value)
}

// check adds up what each look at all accounts has seen.
func (bank) check(h []Op) *Finding {
	moves := only(h, func(o Op) bool { return o.Amount != 0 && o.writes() })
	for _, o := range h {
		if o.Kind != Scan {
			continue
		}
		if what := checkSum(o, moves); what != "" {
			return &Finding{Key: o.Key, What: what}
		}
	}
	return nil
}

// checkSum says what is wrong with what a look has seen, "" where nothing is.
// Withdrawals that were acknowledged before it are gone, deposits that were
// acknowledged before it are there, and what went on meanwhile, or is unknown, may
// be either. And there is never more than at the beginning.
func checkSum(look Op, moves []Op) string {
	sum, least, most := accounts*firstBalance, accounts*firstBalance, accounts*firstBalance
	for _, it := range look.items() {
		held := balance(it.Value)
		if held < 0 {
			return fmt.Sprintf("%s holds %q, which nobody wrote", it.Key, it.Value)
		}
		sum += held - firstBalance
	}
	for _, m := range moves {
		sure, may := m.Result == OK && m.Return < look.Call, m.Call < look.Return
		if sure || may && m.Amount < 0 {
			least += m.Amount
		}
		if sure || may && m.Amount > 0 {
			most += m.Amount
		}
	}
	if most = min(most, accounts*firstBalance); sum >= least && sum <= most {
		return ""
	}
	return fmt.Sprintf("client %d at %s, begun at %v, saw %s, which is %d in all: it must be %d to %d",
		look.Client, look.At, look.Call, balances(look), sum, least, most)
}

// balances are what a look has seen, for people.
func balances(look Op) string {
	var out []string
	for _, it := range look.items() {
		out = append(out, fmt.Sprintf("%d", balance(it.Value)))
	}
	return strings.Join(out, "+")
}

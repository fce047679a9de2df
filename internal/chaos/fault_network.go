package chaos

import (
	"fmt"
	"strings"

	"github.com/dengine/dengine/internal/harness"
)

// cutTwoWay cuts the leader or a follower off from the other nodes, or from the
// balancer too: a node that the balancer still reaches can answer it from the past.
// Of five, a minority is cut off that can speak among itself.
func cutTwoWay(f *field, d *dice) (string, func()) {
	leader, followers := f.sides(d)
	ways := 4
	if f.minority() > 1 {
		ways = 6
	}
	way := d.deal(ways)
	victim := leader.Name
	if way%2 == 1 {
		victim = followers[d.IntN(len(followers))]
	}
	switch {
	case way < 2:
		return of("cut "+victim+" off from everyone", leader), f.c.Net.Sever(f.c.Net.Around(victim)...)
	case way < 4:
		return of("cut "+victim+" off from the other nodes", leader), f.sever([]string{victim}, f.others(victim))
	}
	rest := f.others(victim)
	d.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	group, others := append(rest[:f.minority()-1:f.minority()-1], victim), rest[f.minority()-1:]
	return of("cut "+strings.Join(group, "+")+" off from the other nodes", leader), f.sever(group, others)
}

// cutLeader leaves the leader alone, in reach of clients.
func cutLeader(f *field, d *dice) (string, func()) {
	leader := f.leader(d)
	return "cut " + leader.Name + ", which led, off from the other nodes", f.sever([]string{leader.Name}, f.others(leader.Name))
}

// cutRing lets each node speak with its neighbours in a circle and nobody else.
func cutRing(f *field, d *dice) (string, func()) {
	ring := f.others("")
	d.Shuffle(len(ring), func(i, j int) { ring[i], ring[j] = ring[j], ring[i] })
	return "let only neighbours speak in the ring " + strings.Join(ring, "-"), f.c.Net.Sever(acrossRing(ring)...)
}

// acrossRing are the links between those who are no neighbours in a circle: of five,
// everyone hears a majority, and no two the same. In a circle of three all are
// neighbours; there the first and the last do not hear each other.
func acrossRing(ring []string) []harness.Link {
	last := len(ring) - 1
	if last == 2 {
		return harness.Both(ring[0], ring[last])
	}
	var out []harness.Link
	for i := range ring {
		for j := i + 2; j <= last; j++ {
			if i != 0 || j != last {
				out = append(out, harness.Both(ring[i], ring[j])...)
			}
		}
	}
	return out
}

// cutOneWay stops what one side says to the other, while the other side is heard.
func cutOneWay(f *field, d *dice) (string, func()) {
	leader, followers := f.sides(d)
	one, led := followers[d.IntN(len(followers)):][:1], []string{leader.Name}
	ways := []struct{ from, to []string }{
		{led, one},
		{one, led},
		{led, followers},
		{followers, led},
		{led, []string{harness.Clients}},
		{[]string{harness.Clients}, led},
	}
	way := ways[d.deal(len(ways))]
	var links []harness.Link
	for _, from := range way.from {
		for _, to := range way.to {
			links = append(links, harness.Link{From: from, To: to})
		}
	}
	return of("cut "+strings.Join(way.from, "+")+" to "+strings.Join(way.to, "+"), leader), f.c.Net.Sever(links...)
}

// cutBalancer cuts the balancer, and all who use the relays as it does, off from
// the leader, the followers, or some by chance: requests, health checks, or both.
func cutBalancer(f *field, d *dice) (string, func()) {
	leader, followers := f.sides(d)
	victims := [][]string{{leader.Name}, followers, followers[:1+d.IntN(len(followers))]}[d.deal(3)]
	callers := [][]string{{harness.Clients, harness.Probers}, {harness.Clients}, {harness.Probers}}[d.IntN(3)]
	what := fmt.Sprintf("cut %s off from %s", strings.Join(callers, "+"), strings.Join(victims, "+"))
	return of(what, leader), f.sever(callers, victims)
}

// slow delays what a node says and is told, or what all nodes say.
func slow(f *field, d *dice) (string, func()) {
	links, whose := f.someLinks(d)
	by := between(d.Rand, 5*ms, 200*ms).Round(ms)
	return fmt.Sprintf("delayed %s by %v", whose, by), f.c.Net.Slow(by, links...)
}

// lossy makes links stall and reset now and then.
func lossy(f *field, d *dice) (string, func()) {
	links, whose := f.someLinks(d)
	return "made " + whose + " lossy", f.c.Net.Lossy(links...)
}

// someLinks are those between nodes of the leader, of any node, or of all.
func (f *field) someLinks(d *dice) (links []harness.Link, whose string) {
	var victims []string
	switch d.deal(3) {
	case 0:
		victims = []string{f.leader(d).Name}
	case 1:
		victims = []string{f.any(d).Name}
	default:
		victims = f.others("")
	}
	for _, v := range victims {
		for _, o := range f.others(v) {
			links = append(links, harness.Both(v, o)...)
		}
	}
	return links, "the links of " + strings.Join(victims, "+")
}

// sides are the leader and the names of all other nodes.
func (f *field) sides(d *dice) (leader *harness.Process, followers []string) {
	leader = f.leader(d)
	return leader, f.others(leader.Name)
}

// sever cuts everything between two groups.
func (f *field) sever(ones, others []string) (heal func()) {
	var links []harness.Link
	for _, a := range ones {
		for _, b := range others {
			links = append(links, harness.Both(a, b)...)
		}
	}
	return f.c.Net.Sever(links...)
}

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the model of one key: its state is its value, "" where there is
// none. Inputs and outputs are the same Op.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, _ any) (bool, any) { return step(state.(string), in.(Op)) },
		DescribeOperation: func(in, _ any) string {
			return in.(Op).String()
		},
		DescribeState: func(state any) string { return shown(state.(string)) },
	}
}

// step says whether an operation can have had its result in a state, and what
// the state is after it.
func step(state string, o Op) (bool, string) {
	switch o.Kind {
	case Read:
		return o.Value == state, state
	case Put:
		return true, o.Value
	case Delete:
		return true, ""
	}
	held := state == o.Expect
	switch {
	case o.Result == Unknown && !held:
		return true, state
	case o.Result == Failed:
		return !held, state
	}
	return held, o.Value
}

// CheckRegisters looks for a key whose history is not linearizable (Herlihy and
// Wing, 1990); nil where there is none. A key that is not decided within the
// patience is a finding as well: what was not shown is not promised.
func CheckRegisters(h []Op, patience time.Duration) *Finding {
	deadline := time.Now().Add(patience)
	keys := byKey(settle(h))
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		left := max(time.Until(deadline), time.Millisecond) // 0 would be for ever
		switch porcupine.CheckOperationsTimeout(register(), operations(keys[key]), left) {
		case porcupine.Illegal:
			return &Finding{key, "its history is not linearizable", true}
		case porcupine.Unknown:
			return &Finding{key, fmt.Sprintf("porcupine could not decide its %d operations in what was left of %v", len(keys[key]), patience), true}
		}
	}
	return nil
}

// Picture draws the history of one key into an HTML file, with how far it could
// be explained.
func Picture(h []Op, key, file string, patience time.Duration) error {
	m := register()
	_, info := porcupine.CheckOperationsVerbose(m, operations(byKey(settle(h))[key]), patience)
	if err := porcupine.VisualizePath(m, info, file); err != nil {
		return fmt.Errorf("draw the history of %s: %w", key, err)
	}
	return nil
}

// operations are one key's as porcupine takes them. The end of time is a moment
// after all else, so that a picture has room for the rest.
func operations(h []Op) []porcupine.Operation {
	last := time.Duration(0)
	for _, o := range h {
		last = max(last, o.Call)
		if o.Return != Never {
			last = max(last, o.Return)
		}
	}
	out := make([]porcupine.Operation, len(h))
	for i, o := range h {
		out[i] = porcupine.Operation{
			ClientId: o.Client, Input: o, Output: o,
			Call: int64(o.Call), Return: int64(min(o.Return, last+time.Millisecond)),
		}
	}
	return out
}

// String is the operation in a few words.
func (o Op) String() string {
	what := ""
	switch o.Kind {
	case Read:
		what = "read " + shown(o.Value)
	case Put:
		what = "put " + o.Value
	case Delete:
		what = "delete"
	case CAS:
		what = "put " + o.Value + " for " + shown(o.Expect)
	}
	if o.Result != OK {
		what += ", " + string(o.Result)
	}
	return what + " at " + o.At
}

func shown(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

package settings

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Hoist moves flags that stand behind a command's operands in front of them,
// and general flags that stand behind a command in front of it: cli stops
// reading flags at the first operand, but people write "logs n1 -f" and
// "kill leader --port-offset 100".
func Hoist(args []string, a *cli.App) []string {
	if len(args) == 0 {
		return args
	}
	var general, own, operands []string
	var cmd *cli.Command
	for i := 1; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			operands = append(operands, args[i:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			if cmd == nil && len(operands) == 0 {
				if cmd = a.Command(arg); cmd != nil {
					continue
				}
			}
			operands = append(operands, arg)
			continue
		}
		words := []string{arg}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		flag := lookup(name, cmd, nil)
		into := &own
		if flag == nil && (cmd == nil || lookup(name, nil, a) != nil) {
			flag, into = lookup(name, nil, a), &general
		}
		if flag != nil && !hasValue && !isBool(flag) && i+1 < len(args) {
			i++
			words = append(words, args[i])
		}
		*into = append(*into, words...)
	}
	out := append([]string{args[0]}, general...)
	if cmd != nil {
		out = append(out, cmd.Name)
	}
	return append(append(out, own...), operands...)
}

// lookup finds a flag of the command, or of the program.
func lookup(name string, cmd *cli.Command, a *cli.App) cli.Flag {
	var flags []cli.Flag
	switch {
	case cmd != nil:
		flags = cmd.Flags
	case a != nil:
		flags = a.Flags
	}
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isBool(f cli.Flag) bool {
	if g, ok := f.(*cli.GenericFlag); ok {
		b, ok := g.Value.(interface{ IsBoolFlag() bool })
		return ok && b.IsBoolFlag()
	}
	_, ok := f.(*cli.BoolFlag)
	return ok
}

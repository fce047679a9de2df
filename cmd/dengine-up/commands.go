package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dengine/dengine/launcher"
	"github.com/urfave/cli/v2"
)

const (
	watchEach = time.Second
	// clearScreen moves home and clears; it is written to terminals only.
	clearScreen = "\x1b[H\x1b[2J"
)

func (a *app) commands() []*cli.Command {
	out := []*cli.Command{{
		Name: "status", Usage: "show every process, its role and its lag",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "again each second, until Ctrl-C"},
		},
		Action: a.status, OnUsageError: usageError,
	}}
	for _, one := range []struct {
		action launcher.Action
		usage  string
	}{
		{launcher.ActionKill, "end a process at once (SIGKILL): a crash"},
		{launcher.ActionStop, "end a process in good order (SIGTERM)"},
		{launcher.ActionStart, "start a process that does not run, and wait until it is ready"},
		{launcher.ActionRestart, "stop and start"},
		{launcher.ActionPause, "freeze a process (SIGSTOP): a hang"},
		{launcher.ActionResume, "let a paused process go on (SIGCONT)"},
		{launcher.ActionRejoin, "bring a node back whose folder is lost or damaged: remove it, set the folder aside, and join it anew"},
	} {
		out = append(out, &cli.Command{
			Name: string(one.action), Usage: one.usage, ArgsUsage: "NODE   (n1, n2, …, lb; leader and follower for whoever is that)",
			Action: a.act(one.action), OnUsageError: usageError,
		})
	}
	return append(out, &cli.Command{
		Name: "logs", Usage: "show what a process wrote, or all of them", ArgsUsage: "[NODE]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "and what it writes from now on, until Ctrl-C"},
			&cli.IntFlag{Name: "lines", Aliases: []string{"n"}, Value: 20, Usage: "how many lines (at most 1000 are at hand; files have all)"},
		},
		Action: a.logs, OnUsageError: usageError,
	}, &cli.Command{
		Name: "down", Usage: "end everything", Action: a.down, OnUsageError: usageError,
	})
}

func (a *app) client() *launcher.Client { return launcher.NewClient(a.socket()) }

// explain says how to start one where none runs.
func (a *app) explain(err error) error {
	if errors.Is(err, launcher.ErrNotRunning) {
		return fmt.Errorf("%w; start one with: %s", err, a.command())
	}
	return err
}

// interruptible ends the context at Ctrl-C.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

func (a *app) act(action launcher.Action) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() != 1 {
			return fmt.Errorf("%s needs one name: n1, n2, …, lb, leader or follower", action)
		}
		ctx, cancel := interruptible(c.Context)
		defer cancel()
		message, err := a.client().Act(ctx, action, c.Args().First())
		if err != nil {
			return a.explain(err)
		}
		fmt.Fprintln(a.stdout, message)
		return nil
	}
}

func (a *app) down(c *cli.Context) error {
	if c.Args().Present() {
		return errors.New("down ends everything and takes no name; stop ends one process")
	}
	ctx, cancel := interruptible(c.Context)
	defer cancel()
	message, err := a.client().Down(ctx)
	if err != nil {
		return a.explain(err)
	}
	fmt.Fprintln(a.stdout, message)
	return nil
}

func (a *app) logs(c *cli.Context) error {
	if c.NArg() > 1 {
		return errors.New("logs takes one name, or none for all")
	}
	if c.Int("lines") < 0 {
		return fmt.Errorf("--lines %d: must not be less than 0", c.Int("lines"))
	}
	ctx, cancel := interruptible(c.Context)
	defer cancel()
	return a.explain(a.client().Logs(ctx, c.Args().First(), c.Int("lines"), c.Bool("follow"), a.stdout))
}

func (a *app) status(c *cli.Context) error {
	if c.Args().Present() {
		return errors.New("status takes no name")
	}
	ctx, cancel := interruptible(c.Context)
	defer cancel()
	if !c.Bool("watch") {
		return a.explain(a.showStatus(ctx, c.Bool("json"), "  ", ""))
	}
	clear := ""
	if isTerminal(a.stdout) {
		clear = clearScreen
	}
	tick := time.NewTicker(watchEach)
	defer tick.Stop()
	for {
		if err := a.showStatus(ctx, c.Bool("json"), "", clear); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return a.explain(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showStatus prints the status once; indent is that of JSON, "" for one line.
func (a *app) showStatus(ctx context.Context, asJSON bool, indent, before string) error {
	s, err := a.client().Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", indent)
		return enc.Encode(s)
	}
	if _, err := fmt.Fprint(a.stdout, before); err != nil {
		return err
	}
	return launcher.RenderStatus(a.stdout, s)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/urfave/cli/v2"
)

// memberCommands ask a running cluster for its members, and change them.
func memberCommands(out io.Writer) []*cli.Command {
	flags := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "HOST:PORT of the health port of any node of the cluster"},
			&cli.DurationFlag{Name: "timeout", Usage: "how long it may take", Value: 15 * time.Second},
		}
	}
	return []*cli.Command{
		{
			Name: "members", Usage: "list the members of a cluster", Flags: flags(), OnUsageError: usageError,
			Action: func(c *cli.Context) error {
				return atNode(c, 0, func(ctx context.Context, at string) error {
					m, err := healthcheck.ListMembers(ctx, at)
					if err != nil {
						return err
					}
					return printMembers(out, m)
				})
			},
		},
		{
			Name: "remove", Usage: "remove a member, one whose data folder was lost for example", ArgsUsage: "ID", Flags: flags(), OnUsageError: usageError,
			Action: func(c *cli.Context) error {
				return atNode(c, 1, func(ctx context.Context, at string) error {
					id := c.Args().First()
					m, err := healthcheck.RemoveMember(ctx, at, id)
					if err != nil {
						return fmt.Errorf("remove %s: %w", id, err)
					}
					fmt.Fprintf(out, "%s was removed by leader %s in term %d. To have it come back, start it with an empty data folder and --join.\n", id, m.Node, m.Term)
					return printMembers(out, m)
				})
			},
		},
	}
}

// atNode runs a command that takes so many operands and --at.
func atNode(c *cli.Context, operands int, do func(ctx context.Context, at string) error) error {
	switch {
	case c.NArg() != operands:
		return fmt.Errorf("usage: dengine-node %s", strings.Join(strings.Fields(c.Command.Name+" "+c.Command.ArgsUsage+" --at HOST:PORT"), " "))
	case c.String("at") == "":
		return errors.New("--at is missing: it names the health port of a node, HOST:PORT")
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	return do(ctx, c.String("at"))
}

// printMembers writes the members as a table.
func printMembers(out io.Writer, m healthcheck.Membership) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tROLE\tCAUGHT UP\tRAFT\tHTTP\tHEALTH")
	for _, one := range m.Members {
		role, caughtUp := "learner", "unknown"
		switch {
		case one.ID == m.Leader.ID:
			role = "leader"
		case one.Voter:
			role = "voter"
		}
		if one.CaughtUp != nil {
			caughtUp = map[bool]string{true: "yes", false: "no"}[*one.CaughtUp]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, role, caughtUp, one.Raft, one.HTTP, one.Health)
	}
	return t.Flush()
}

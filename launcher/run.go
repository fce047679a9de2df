package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
)

// StartError says that a process ended, or did not become ready, at the start.
// Everything else was ended as well.
type StartError struct {
	Name string   // of the process
	What string   // what it did: "exited (code 1) while starting"
	Log  []string // its last lines
}

func (e *StartError) Error() string {
	s := e.Name + " " + e.What
	if len(e.Log) == 0 {
		return s + "; it wrote nothing"
	}
	s += "; its last lines:"
	for _, line := range e.Log {
		s += "\n  " + line
	}
	return s
}

// Run starts the cluster that cfg describes, writes where everything is and
// then what happens to out, and ends everything when ctx ends or somebody asks
// for it through the socket; that is not an error. It returns only after every
// process has ended, the socket is gone and temporary data is removed.
//
// Errors: *ConflictError where ports are taken (nothing was started),
// *StartError where a process does not start; others name what is wrong.
func Run(ctx context.Context, cfg Config, out io.Writer, log *zap.Logger) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	log = log.Named("launcher")
	programs, err := cfg.programs()
	if err != nil {
		return err
	}
	// The socket comes first: "one is running already" says more than a list
	// of its ports.
	sock, err := listenSocket(ctx, cfg.Socket)
	if err != nil {
		return err
	}
	defer sock.remove()
	dir, err := openFolder(cfg, log)
	if err != nil {
		return err
	}
	err = runIn(ctx, cfg, programs, dir, sock, out, log)
	return errors.Join(err, dir.close())
}

// programs finds HAProxy where it is asked for; our own were found by the caller.
func (c Config) programs() (Programs, error) {
	p := Programs{Node: c.NodeBin, Balancer: c.LBBin}
	if c.Balancer == BalancerHAProxy {
		path, err := findHAProxy()
		if err != nil {
			return p, err
		}
		p.Balancer = path
	}
	return p, nil
}

func runIn(ctx context.Context, cfg Config, programs Programs, dir *folder, sock *socket, out io.Writer, log *zap.Logger) error {
	nodes, err := dir.recall(cfg.Nodes, cfg.PortOffset)
	if err != nil {
		return err
	}
	cfg.Nodes = nodes
	plan, err := NewPlan(cfg, dir.path, programs)
	if err != nil {
		return err
	}
	if conflicts := checkPorts(plan.Addresses()); len(conflicts) > 0 {
		return &ConflictError{Conflicts: conflicts, Hint: "End what holds them, or move all ports with --port-offset, for example --port-offset " + fmt.Sprint(otherOffset(cfg.PortOffset)) + "."}
	}
	if err := dir.layOut(plan); err != nil {
		return err
	}
	if err := writeFrontConfig(ctx, plan.Front); err != nil {
		return err
	}
	if err := dir.remember(cfg.Nodes, cfg.PortOffset); err != nil {
		return err
	}

	printer := newPrinter(out, cfg.JSON, cfg.Command)
	c := newCluster(cfg, plan, dir.temporary, printer.tell, log)
	server := serveControl(sock, c, log)

	err = c.start(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-c.downAsked:
		case <-printer.broken:
		}
		printer.tell(Event{Time: time.Now(), Kind: EventStopping, Message: "stopping"})
	}
	c.stop()
	if errors.Is(err, context.Canceled) {
		err = nil // asked to end while it started
	}
	close(c.gone) // "down" is answered now
	server.close()
	if err == nil {
		printer.tell(Event{Time: time.Now(), Kind: EventStopped, Message: "everything has ended"})
	}
	printer.close(cfg.Now)
	return err
}

// otherOffset suggests a --port-offset whose ports are none of the present ones.
func otherOffset(offset int) int {
	if offset+100 > MaxPortOffset {
		return 0
	}
	return offset + 100
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/dengine/dengine/launcher"
	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// up starts a cluster and stays with it.
func (a *app) up(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("unknown command %q; see dengine-up --help", c.Args().First())
	}
	cfg := a.config
	cfg.Balancer = launcher.Balancer(a.balancer)
	cfg.Socket = a.socket()
	cfg.Command = a.command()
	if err := cfg.Validate(); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "" // PATH is left to look in
	}
	if cfg.NodeBin, err = launcher.FindProgram("dengine-node", exe, "--node-bin", cfg.NodeBin); err != nil {
		return err
	}
	if cfg.Balancer == launcher.BalancerDengine {
		if cfg.LBBin, err = launcher.FindProgram("dengine-lb", exe, "--lb-bin", cfg.LBBin); err != nil {
			return err
		}
	}
	log := newLogger(a.stderr, cfg.LogLevel)
	ctx, now, release := stages(c.Context)
	defer release()
	cfg.Now = now
	return launcher.Run(ctx, cfg, a.stdout, log)
}

// stages turns the first request to end into the end of the context, and the
// second one into the close of now. A terminal that goes away and a pipe that
// nobody reads are such requests too.
func stages(parent context.Context) (ctx context.Context, now <-chan struct{}, release func()) {
	ctx, cancel := context.WithCancel(parent)
	hurry, released := make(chan struct{}), make(chan struct{})
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // nohup: to outlive the terminal was asked for
		signal.Notify(signals, syscall.SIGHUP)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		asked := false
		for {
			select {
			case s := <-signals:
				switch {
				case !asked:
					asked = true
					cancel()
				case s != syscall.SIGPIPE: // our own last words to a closed pipe
					close(hurry)
					return
				}
			case <-released:
				return
			}
		}
	})
	return ctx, hurry, func() {
		signal.Stop(signals)
		close(released)
		wg.Wait()
		cancel()
	}
}

// newLogger logs what the launcher itself does: its warnings, or everything at
// debug level. What happens to the cluster is printed, not logged.
func newLogger(w io.Writer, level string) *zap.Logger {
	min := zapcore.WarnLevel
	if level == "debug" {
		min = zapcore.DebugLevel
	}
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), min))
}

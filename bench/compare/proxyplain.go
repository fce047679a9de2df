package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// plainCommand makes this program a trivial HTTP server: it answers /N with N bytes,
// whatever the method, and /health with 200.
const plainCommand = "plain-server"

const plainHealth = "/health"

// plainSizes are the answers that it has.
var plainSizes = [...]int{16, 1 << 10, 64 << 10}

func plainPath(size int) string { return "/" + strconv.Itoa(size) }

// runPlain runs it until SIGTERM.
func runPlain(args []string, stderr io.Writer) int {
	f := flag.NewFlagSet(plainCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", "127.0.0.1:0", "host:port")
	if err := f.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := servePlain(ctx, *listen); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", plainCommand, err)
		return 1
	}
	return 0
}

// servePlain serves until ctx ends. What is in flight ends with the process: nobody
// waits for it.
func servePlain(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	l, err := newPlainLoop(ln.(*net.TCPListener), plainAnswers()) //nolint:forcetypeassert // of "tcp" it is one
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- l.run() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// plainAnswers are whole answers, heads included, by path.
func plainAnswers() map[string][]byte {
	answer := func(n int) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n))
	}
	out := map[string][]byte{plainHealth: answer(0)}
	for _, n := range plainSizes {
		out[plainPath(n)] = answer(n)
	}
	return out
}

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

	"github.com/valyala/fasthttp"
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

func servePlain(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &fasthttp.Server{Handler: plainHandler(), NoDefaultServerHeader: true, NoDefaultDate: true}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ln.Close() // what is in flight ends with the process: nobody waits for it
	}
}

func plainHandler() fasthttp.RequestHandler {
	answers := map[string][]byte{plainHealth: nil}
	for _, n := range plainSizes {
		answers[plainPath(n)] = []byte(strings.Repeat("x", n))
	}
	return func(ctx *fasthttp.RequestCtx) {
		body, ok := answers[string(ctx.Path())]
		if !ok {
			ctx.SetStatusCode(fasthttp.StatusNotFound)
			return
		}
		ctx.Response.SetBodyRaw(body)
	}
}

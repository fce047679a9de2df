package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func runLB(args []string) error {
	var backends list
	fs := flag.NewFlagSet("dengine-lb", flag.ContinueOnError)
	listen := fs.String("listen", "", "")
	admin := fs.String("admin", "", "")
	fs.Var(&backends, "backend", "")
	fs.String("log-level", "", "")
	fs.String("log-format", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, `{"level":"info","msg":"starting","node":"lb"}`)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	// leader is the HTTP address of whoever answers /primary, "" if nobody does.
	leader := func() string {
		for _, b := range backends {
			fields := make(map[string]string)
			for part := range strings.SplitSeq(b, ",") {
				k, v, _ := strings.Cut(part, "=")
				fields[k] = v
			}
			resp, err := client.Get("http://" + fields["health"] + "/primary")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return fields["http"]
				}
			}
		}
		return ""
	}
	pass := func(w http.ResponseWriter, r *http.Request) {
		to := leader()
		if to == "" {
			http.Error(w, `{"error":"no_leader"}`, http.StatusServiceUnavailable)
			return
		}
		req, err := http.NewRequest(r.Method, "http://"+to+r.URL.RequestURI(), r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}
	health := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && leader() == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	for addr, handler := range map[string]http.HandlerFunc{*listen: pass, *admin: health} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go http.Serve(ln, handler)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	return nil
}

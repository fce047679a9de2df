package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// closeGrace is how long answers under way may take at the end.
const closeGrace = 2 * time.Second

// controlServer answers on the control socket.
type controlServer struct {
	cluster *cluster
	log     *zap.Logger
	http    *http.Server
	served  sync.WaitGroup
}

func serveControl(s *socket, c *cluster, log *zap.Logger) *controlServer {
	cs := &controlServer{cluster: c, log: log.Named("control")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", cs.status)
	mux.HandleFunc("POST /processes/{name}/{action}", cs.act)
	mux.HandleFunc("GET /logs", cs.logs)
	mux.HandleFunc("POST /down", cs.down)
	cs.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          zap.NewStdLog(cs.log),
	}
	cs.served.Go(func() {
		if err := cs.http.Serve(s.Listener); !errors.Is(err, http.ErrServerClosed) {
			cs.log.Error("control socket failed", zap.Error(err))
		}
	})
	return cs
}

// close lets answers under way leave, then ends the rest.
func (s *controlServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
	s.served.Wait()
}

func (s *controlServer) status(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, s.cluster.status())
}

func (s *controlServer) act(w http.ResponseWriter, r *http.Request) {
	action, name := Action(r.PathValue("action")), r.PathValue("name")
	s.log.Info("action asked for", zap.String("action", string(action)), zap.String("process", name))
	message, err := s.cluster.act(r.Context(), action, name)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.answer(w, http.StatusOK, Done{message})
}

func (s *controlServer) down(w http.ResponseWriter, r *http.Request) {
	s.cluster.askDown()
	select {
	case <-s.cluster.gone:
		s.answer(w, http.StatusOK, Done{"everything has ended"})
	case <-r.Context().Done():
	}
}

// logs sends the last lines of one process or of all, and then, if asked,
// each further line as it comes.
func (s *controlServer) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get(logsLines))
	if err != nil || n < 0 {
		s.fail(w, refuse("bad_request", "%s %q: must be a number of lines", logsLines, q.Get(logsLines)))
		return
	}
	children := s.cluster.children
	if name := q.Get(logsName); name != "" {
		ch, err := s.cluster.find("", name)
		if err != nil {
			s.fail(w, err)
			return
		}
		children = []*child{ch}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &lineWriter{w: w, flushAll: http.NewResponseController(w).Flush, prefixed: len(children) > 1}
	at := make([]uint64, len(children))
	for i, ch := range children {
		var lines []string
		lines, at[i] = ch.logs.tail(n)
		out.write(ch.proc.Name, lines)
	}
	if q.Get(logsFollow) != "true" {
		return
	}
	_ = out.flush()
	var wg sync.WaitGroup
	for i, ch := range children {
		wg.Go(func() { s.follow(r.Context(), out, ch, at[i]) })
	}
	wg.Wait()
}

// follow sends the lines behind pos until the client leaves or all ends.
func (s *controlServer) follow(ctx context.Context, out *lineWriter, ch *child, pos uint64) {
	for {
		lines, next, changed := ch.logs.since(pos)
		if len(lines) > 0 {
			out.write(ch.proc.Name, lines)
			if out.flush() != nil {
				return
			}
		}
		pos = next
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-s.cluster.gone:
			return
		}
	}
}

// fail answers with what a person can do, and a code for programs.
func (s *controlServer) fail(w http.ResponseWriter, err error) {
	var r *refusal
	var start *StartError
	var conflict *ConflictError
	switch {
	case errors.As(err, &r) && r.code == "unknown_name":
		s.answer(w, http.StatusNotFound, problem{r.code, r.message})
	case errors.As(err, &r):
		s.answer(w, http.StatusConflict, problem{r.code, r.message})
	case errors.As(err, &start):
		s.answer(w, http.StatusInternalServerError, problem{"start_failed", err.Error()})
	case errors.As(err, &conflict):
		s.answer(w, http.StatusConflict, problem{"port_in_use", err.Error()})
	default:
		s.answer(w, http.StatusInternalServerError, problem{"failed", err.Error()})
	}
}

func (s *controlServer) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Debug("answer did not leave", zap.Error(err))
	}
}

package edge

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// Limits bound what one client can cost. All must be positive.
type Limits struct {
	HeaderBytes   int           // request line and headers, in bytes
	BodyBytes     int           // request body, in bytes
	HeaderTimeout time.Duration // from a request's first byte to the end of its headers
	BodyTimeout   time.Duration // from there to the end of its body
	IdleTimeout   time.Duration // an open connection without a request
	WriteTimeout  time.Duration // for the answer to leave
	Conns         int           // connections at once; more get 503
}

// DefaultLimits suit a port that clients reach directly.
func DefaultLimits() Limits {
	return Limits{
		HeaderBytes:   16 << 10,
		BodyBytes:     8 << 20,
		HeaderTimeout: 10 * time.Second,
		BodyTimeout:   30 * time.Second,
		IdleTimeout:   75 * time.Second,
		WriteTimeout:  30 * time.Second,
		Conns:         65536,
	}
}

// Validate names the first limit that is not positive.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"max header bytes", int64(l.HeaderBytes)},
		{"max body bytes", int64(l.BodyBytes)},
		{"header timeout", int64(l.HeaderTimeout)},
		{"body timeout", int64(l.BodyTimeout)},
		{"idle timeout", int64(l.IdleTimeout)},
		{"write timeout", int64(l.WriteTimeout)},
		{"max connections", int64(l.Conns)},
	} {
		if f.n <= 0 {
			return fmt.Errorf("%s: must be more than 0, not %d", f.name, f.n)
		}
	}
	return nil
}

// unlimited is what fasthttp's own bound on connections is set to: beyond it there
// is no JSON.
const unlimited = 1 << 20

// Stamp adds what every answer of a service carries to one that the edge makes:
// to a refusal, or to a 500 after the handler panicked, which has then been
// reached (handled) and may have done anything.
type Stamp func(ctx *fasthttp.RequestCtx, handled bool)

// NewServer returns a server that refuses what Check refuses, answers every
// read error with a Problem, and passes headers and paths on as they came. A
// handler that panics costs its client a 500 and nobody else anything. stamp may
// be nil. LimitConns bounds its connections; it does not do so itself.
func NewServer(l Limits, log *zap.Logger, handle fasthttp.RequestHandler, stamp Stamp) *fasthttp.Server {
	if stamp == nil {
		stamp = func(*fasthttp.RequestCtx, bool) {}
	}
	return &fasthttp.Server{
		Handler: recovering(log, checked(handle, stamp), stamp),
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			FromReadError(err, l).Write(ctx)
			stamp(ctx, false)
		},
		Logger:             quiet{log},
		Concurrency:        unlimited,
		ReadTimeout:        l.HeaderTimeout,
		IdleTimeout:        l.IdleTimeout,
		WriteTimeout:       l.WriteTimeout,
		MaxRequestBodySize: l.BodyBytes,
		ReadBufferSize:     l.HeaderBytes,
		HeaderReceived: func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{ReadTimeout: l.BodyTimeout}
		},
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                false,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		LazyRequestTime:              true, // nobody asks for it
		CloseOnShutdown:              true,
	}
}

func checked(next fasthttp.RequestHandler, stamp Stamp) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if p := Check(&ctx.Request.Header); p != nil {
			p.Write(ctx)
			stamp(ctx, false)
			return
		}
		next(ctx)
	}
}

func recovering(log *zap.Logger, next fasthttp.RequestHandler, stamp Stamp) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if v := recover(); v != nil {
				log.Error("handler panicked", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
				ctx.Response.Reset()
				(&Problem{Status: fasthttp.StatusInternalServerError, Code: "internal", Message: "the server met a bug; its log has the details", Close: true}).Write(ctx)
				stamp(ctx, true)
			}
		}()
		next(ctx)
	}
}

// quiet takes what fasthttp logs, which is about clients that misbehave, at
// debug level: a stranger must not be able to fill the log.
type quiet struct{ log *zap.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http server", zap.String("detail", fmt.Sprintf(format, args...)))
}

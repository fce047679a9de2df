package edge_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// Whatever bytes come, the edge answers or closes; and a request that it lets
// through is the one that the standard library's parser reads at that place.
func FuzzServer(f *testing.F) {
	for _, in := range []string{
		"GET /kv/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD / HTTP/1.0\r\n\r\nGET /next HTTP/1.0\r\n\r\n",
		"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: b\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\n--b--",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var got []fuzzkit.Request
		srv := edge.NewServer(small(), zap.NewNop(), func(ctx *fasthttp.RequestCtx) {
			h := &ctx.Request.Header
			if p := edge.NoTrailers(h); p != nil {
				p.Write(ctx)
				return
			}
			got = append(got, fuzzkit.Request{
				Method: string(h.Method()), Target: string(h.RequestURI()), Host: string(h.Host()), Body: bytes.Clone(ctx.PostBody()),
			})
			ctx.SetBodyString("fine")
		}, nil)
		conn := fuzzkit.NewConn(in)
		go func() { _ = srv.ServeConn(conn) }() // its end is the connection's
		out := conn.Answered(t)
		fuzzkit.Understood(t, in, got)
		for i, a := range fuzzkit.Answers(t, in, out) {
			switch {
			case i < len(got) && (a.Status != http.StatusOK || a.To.Method != http.MethodHead && string(a.Body) != "fine"):
				t.Errorf("%q: request %d was let through and answered %+v", in, i, a)
			case i >= len(got) && (a.Status < 400 || a.To.Method != http.MethodHead && !bytes.Contains(a.Body, []byte(`"error"`))):
				t.Errorf("%q: request %d was refused with %+v", in, i, a)
			}
		}
	})
}

package edge

import (
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// DateClock has the header line Date, which is made once a second (RFC 9110, section 6.6.1).
type DateClock struct {
	last atomic.Pointer[dateLine]
}

type dateLine struct {
	second int64
	line   []byte
}

// Line is the whole line, CR LF included.
func (c *DateClock) Line(now time.Time) []byte {
	last := c.last.Load()
	if second := now.Unix(); last == nil || last.second != second {
		line := fasthttp.AppendHTTPDate([]byte("Date: "), now)
		last = &dateLine{second: second, line: append(line, "\r\n"...)}
		c.last.Store(last)
	}
	return last.line
}

package lb

import "errors"

// errLongBusy says that a backend has its share of exchanges that may last.
var errLongBusy = errors.New("too many streams to the backend already")

// beginLong counts an exchange whose length the client decides. Such ones get at
// most half of a backend's connections, so that the others find some.
func (x *exchange) beginLong(be *backend) bool {
	if be.long.Add(1) > int64(max(1, x.set.cfg.UpstreamConns/2)) {
		be.long.Add(-1)
		return false
	}
	x.long = be
	return true
}

func (x *exchange) endLong() {
	if x.long != nil {
		x.long.long.Add(-1)
		x.long = nil
	}
}

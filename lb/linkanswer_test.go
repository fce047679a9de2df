package lb

import "testing"

// Only answers that are whole, short and follow each other without doubt are taken off a
// connection that several reads share.
func TestAnswersThatFollowEachOther(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n":                                  true,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n":        true,
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n":                                  false,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n":             false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                         false,
		"HTTP/1.1 200 OK\r\n\r\n":                                                       false,
		"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n":                              false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":                          false,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                        false,
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n":                 false,
		"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n":                            false,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n": false,
	} {
		var a answer
		if err := a.parse([]byte(head), false); err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if got := settles(&a) && follows(&a); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}

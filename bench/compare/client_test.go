package main

import "testing"

// Names of fields come in any case (RFC 9110 section 5.1), and HAProxy writes them all
// in lower case.
func TestClientTakesNamesInAnyCase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Content-Length", "content-length"} {
		addr := answering(t, always("HTTP/1.1 200 OK\r\ndengine-index: 7\r\n"+name+": 3\r\n\r\nabc"))
		c, err := dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		c.out = []byte(paceRequest)
		if err := c.exchange(); err != nil || string(c.body) != "abc" || string(c.index) != "7" {
			t.Errorf("%s: %q, index %q, %v", name, c.body, c.index, err)
		}
	}
}

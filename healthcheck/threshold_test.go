package healthcheck

import "testing"

func TestThreshold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		rise, fall int
		outcomes   string // + good, - bad, ! bad and certain
		want       string // + up, - down
	}{
		{"the first decides", 3, 3, "+", "+"},
		{"the first decides down", 3, 3, "-", "-"},
		{"fall counts", 2, 3, "+--+---", "+++++" + "+-"},
		{"rise counts", 2, 3, "-+-++", "----+"},
		{"certain is at once", 2, 3, "+!++", "+--+"},
		{"one is enough", 1, 1, "+-+", "+-+"},
	} {
		th := threshold{rise: c.rise, fall: c.fall}
		got := ""
		for _, o := range c.outcomes {
			if th.feed(o == '+', o == '!') {
				got += "+"
			} else {
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s gives %s, want %s", c.name, c.outcomes, got, c.want)
		}
	}
}

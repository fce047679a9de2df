package harness

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metric is the value of a metric without labels, such as
// dengine_node_reads_leased_total, of a node or the balancer.
func (c *Cluster) Metric(p *Process, name string) (float64, error) {
	a, err := c.Try(http.MethodGet, "http://"+p.Health+"/metrics", "")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(a.Body) {
		if n, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(n), 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", p.Name, name)
}

package launcher

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// haproxyConfig is a configuration for the plan's nodes: writes by method to
// whoever answers /primary, reads to whoever answers /readyz.
//
// HAProxy cannot hold a write while there is no leader (it answers 503), and a
// write that was sent is never repeated; only one that found no connection is.
func haproxyConfig(p Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by dengine-up; changes are lost at the next start.
global
    maxconn 4096
    hard-stop-after 5s

defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout queue 10s
    timeout check 500ms
    retries 3
    option redispatch 1
    option forwardfor

frontend front
    bind %s
    acl is_write method POST PUT DELETE PATCH
    use_backend writes if is_write
    default_backend reads

backend writes
    retry-on conn-failure
    option httpchk
    http-check send meth GET uri /primary
    http-check expect status 200
    default-server inter 100ms rise 1 fall 1
`, p.Front.HTTP)
	servers(&b, p.Nodes)
	b.WriteString(`
backend reads
    balance roundrobin
    retry-on all-retryable-errors
    option httpchk
    http-check send meth GET uri /readyz
    http-check expect status 200
    default-server inter 100ms rise 1 fall 2
`)
	servers(&b, p.Nodes)
	fmt.Fprintf(&b, `
frontend admin
    bind %s
    monitor-uri /livez
    stats enable
    stats uri /
`, p.Front.Admin)
	return b.String()
}

func servers(b *strings.Builder, nodes []Node) {
	for _, n := range nodes {
		fmt.Fprintf(b, "    server %s %s check addr %s port %s\n", n.Name, n.HTTP, host, portOf(n.Health))
	}
}

// writeFrontConfig puts the balancer's file in its place and lets HAProxy
// itself check it.
func writeFrontConfig(ctx context.Context, f *Front) error {
	if f == nil || f.ConfigFile == "" {
		return nil
	}
	if err := os.WriteFile(f.ConfigFile, []byte(f.Config), 0o600); err != nil {
		return fmt.Errorf("write the balancer's configuration: %w", err)
	}
	out, err := exec.CommandContext(ctx, f.Path, "-c", "-f", f.ConfigFile).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s refuses the configuration in %s: %w\n%s", f.Path, f.ConfigFile, err, out)
	}
	return nil
}

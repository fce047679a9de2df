package lb

import "net"

// Admit gives the balancer a client's connection as if its port had accepted it.
func (b *Balancer) Admit(c net.Conn) { b.front.admit(c) }

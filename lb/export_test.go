package lb

import "net"

// Admit gives the balancer a client's connection as if its port had accepted it.
func (b *Balancer) Admit(c net.Conn) { b.front.admit(c) }

// ShareHard makes reads share connections wherever they can.
func ShareHard(cfg *Config) { cfg.ShareReads, cfg.shareHard = ShareAny, true }

// Bundled are how many writes were answered in bundles.
func (b *Balancer) Bundled() (answered uint64) {
	for _, be := range b.registry.all() {
		answered += be.bundles.rides.Load()
	}
	return answered
}

// Rides are how many reads were answered over shared connections, and how many left one.
func (b *Balancer) Rides() (answered, left uint64) {
	for _, be := range b.registry.all() {
		answered += be.lanes.rides.Load()
		left += be.lanes.left.Load()
	}
	return answered, left
}

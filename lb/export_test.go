package lb

import (
	"net"
	"time"
)

// Admit gives the balancer a client's connection as if its port had accepted it.
func (b *Balancer) Admit(c net.Conn) { b.front.admit(c) }

// ShareHard makes reads share connections wherever they can.
func ShareHard(cfg *Config) { cfg.ShareReads, cfg.shareHard = ShareNodes, true }

// Patient makes workers, and writes that wait for a session, wait as long as that. A busy
// machine may let nothing run for longer than they usually do.
func Patient(cfg *Config, d time.Duration) { cfg.lateAnswer, cfg.sessionPatience = d, d }

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
		answered += be.sharedReads.Load()
		left += be.sharedLeft.Load()
	}
	return answered, left
}

// Worked are how many requests workers answered, and how many connections they gave back.
func (b *Balancer) Worked() (answered, returned uint64) {
	return b.workers.answered.Load(), b.workers.returned.Load()
}

// Attempts are how many requests were sent to a backend.
func (b *Balancer) Attempts(addr string) uint64 {
	for _, be := range b.registry.all() {
		if be.HTTP == addr {
			return be.requests.Load()
		}
	}
	return 0
}

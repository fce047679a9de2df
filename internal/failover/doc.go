// Package failover measures what the clients of a cluster see when something
// breaks. An open-loop load writes and reads through a front (the balancer, or
// another proxy) while faults are caused; afterwards every node is asked for
// every key. It leaves to others how a cluster is run (package harness) and who
// wants to know (bench/failover, and a short version in internal/e2e).
package failover

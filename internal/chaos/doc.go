// Package chaos hurts a real cluster while clients write and read it, keeps a
// history of all that they did, and has the history judged. Clients do some of
// every workload: registers, judged by porcupine, whether they are linearizable, or,
// for reads that name the age that they accept, by a checker of its own; and
// counters, a bank, a set, lists, ladders of keys and identities that expire, each
// with a checker that knows what must hold for it. What a client does not know stays
// open: a write whose outcome is unknown may have happened at any time since, or
// never.
//
// It leaves to others how a cluster is run (package harness), how a request is
// sent once (package once), how long clients are held up (package failover), and
// which rounds to run (bench/chaos).
package chaos

// Package kv is the replicated state machine: keys, values, the revision
// counter, the identities of writes that may come again with their answers, the
// cluster clock, and the encodings of commands and snapshots.
//
// It is pure: no clock of its own, no I/O, no Raft type. The same entries in the
// same order give the same state on every node, byte for byte; Hash shows it.
// How much time has passed stands in the entries, put there by the leader that
// made them. What time it is, who leads, which ids are random enough and when to
// write a snapshot is decided elsewhere.
//
// A Machine is not safe for concurrent use, except that a View taken from it is
// independent of it and may be read while the Machine goes on.
package kv

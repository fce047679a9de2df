// Package kv is the replicated state machine: keys, values, the revision
// counter, and the encodings of commands and snapshots.
//
// It is pure: no clock, no I/O, no Raft type. The same commands in the same
// order give the same state on every node, byte for byte; Hash shows it. What
// time it is, who leads and when to write a snapshot is decided elsewhere.
//
// A Machine is not safe for concurrent use, except that a View taken from it is
// independent of it and may be read while the Machine goes on.
package kv

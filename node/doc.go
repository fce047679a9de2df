// Package node is an embeddable Raft node that keeps keys and values: Open one
// in your own program, write with Put and Delete, read with Get, and put your
// own HTTP API beside it or use the one it brings.
//
// What it answers for: a write is acknowledged once it is on disk on a majority
// and applied here; every error of a write says whether the write can have
// happened (ErrNotApplied, ErrUnknown); a node that cannot keep these promises
// (its disk fails, it has lost its memory) stops taking part and says so.
//
// What it leaves to others: finding the leader for a client, holding and
// repeating writes (package lb), and starting processes (package launcher).
package node

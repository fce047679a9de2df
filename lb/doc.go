// Package lb is the balancer. Writes go to the leader, reads go round all
// backends that can serve. While there is no leader, writes wait for one
// instead of failing, and what certainly was not executed is sent again. What
// may have been is sent again too where it carries a number, by which a node
// knows it (ARCHITECTURE.md, "Exactly once").
//
// How it is put together:
//
//   - view.go, readers.go, members.go and decide.go hold the decisions: who leads,
//     who reads, who belongs to the cluster, and what may follow a failed attempt.
//     They are pure functions over values.
//   - registry.go runs one healthcheck.Watcher a backend and publishes an
//     immutable View of them all.
//   - conn.go and pool.go hold connections to backends, exchange.go sends one
//     request over one of them and says what became of it.
//   - session.go and opensession.go keep the sessions in which writes are numbered,
//     numbers.go gives out their numbers, within the bounds of window.go, and
//     identify.go puts them into requests.
//   - written.go knows how far writes and backends are, for reads that must see the
//     clients' own writes; calloff.go lets reads leave a node that lost its leader.
//   - proxy.go serves a client's request: it picks, sends, decides, holds.
//   - front.go accepts clients, admin.go answers operators.
//   - workers.go answers plain requests (plain.go) without a goroutine for each:
//     guest.go moves a client's connection between the server and a worker, where
//     it has a seat (seat.go), and lend.go lends the worker connections to backends
//     (link.go), which reads of nodes share (stock.go, linkanswer.go). Numbered
//     writes go in bundles (seatride.go). What a worker cannot finish is handed back
//     (handed.go).
//
// Backends are known only as HTTP addresses. Whether they are dengine nodes or
// any other HTTP service is a matter of Config.Checks.
//
// A request is forwarded as its sender wrote it, apart from what RFC 9110
// (section 7.6) asks of a proxy. An answer is passed on as the backend gave it,
// with three exceptions: Date is the balancer's own, trailers are dropped, and
// interim (1xx) answers other than an asked-for 101 are dropped.
package lb

// Package healthcheck is the role contract between a node and whatever balances
// it: the names of the roles, the paths and what their statuses mean, the
// server side of them (Handler), one check (Prober), and a watcher that turns
// long polls and checks into a stream of observations (Watch).
//
// It knows nothing of Raft. A node implements Source; a balancer or a launcher
// calls Watch. HAProxy, nginx and Caddy need only /primary and /replica, and
// services that are not dengine nodes are checked with paths and statuses of
// their own (Checks).
package healthcheck

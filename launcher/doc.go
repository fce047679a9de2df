// Package launcher runs a whole local cluster as child processes of one
// program: it plans ports and folders, checks the ports, starts the nodes and
// a balancer, waits until they serve, tells what matters while they run, obeys
// commands that arrive over a unix socket, and leaves nothing behind.
//
// It knows nodes and balancers only as programs with command lines and as HTTP
// addresses (package healthcheck); how they elect or store anything is theirs.
// Run is the foreground program, Client the other end of its socket.
package launcher

package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// plainLoop serves connections in one thread, with one wait for all that is there,
// one read and one write for each request. What stands behind the proxies should cost
// little beside them: it is them who are measured.
type plainLoop struct {
	poll, listener int
	answers        map[string][]byte
	conns          map[int32]*plainConn
}

// newPlainLoop takes a listener over.
func newPlainLoop(ln *net.TCPListener, answers map[string][]byte) (*plainLoop, error) {
	f, err := ln.File()
	if err != nil {
		return nil, fmt.Errorf("take the listener: %w", err)
	}
	defer f.Close()
	defer ln.Close()
	l := &plainLoop{answers: answers, conns: make(map[int32]*plainConn)}
	if l.listener, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("take the listener: %w", err)
	}
	if err := unix.SetNonblock(l.listener, true); err != nil {
		return nil, fmt.Errorf("set the listener: %w", err)
	}
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	return l, l.watch(unix.EPOLL_CTL_ADD, l.listener, unix.EPOLLIN)
}

func (l *plainLoop) watch(how, fd int, events uint32) error {
	if err := unix.EpollCtl(l.poll, how, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// run serves until the poller fails.
func (l *plainLoop) run() error {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(l.poll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for _, e := range events[:n] {
			if int(e.Fd) == l.listener {
				l.accept()
				continue
			}
			if c := l.conns[e.Fd]; !l.serve(c) {
				delete(l.conns, e.Fd)
				_ = unix.Close(c.fd)
			}
		}
	}
}

// accept takes one connection; where there are more, the poller says so again.
func (l *plainLoop) accept() {
	fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return // it has left
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // without it it is slow, no more
	if err := l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		_ = unix.Close(fd)
		return
	}
	l.conns[int32(fd)] = &plainConn{fd: fd}
}

// serve does what can be done without waiting, and says whether the connection stays.
func (l *plainLoop) serve(c *plainConn) bool {
	wasFull := len(c.out) > 0
	if !wasFull && !c.receive(l.answers) || !c.send() {
		return false
	}
	full := len(c.out) > 0
	switch {
	case c.last && !full:
		return false
	case full == wasFull:
		return true
	case full: // nothing is read before the client takes what there is for it
		return l.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLOUT) == nil
	}
	return l.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN) == nil
}

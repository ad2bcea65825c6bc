package netwatch

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// receiveSize holds the largest notification that the kernel makes.
const receiveSize = 8 << 10

// groups are what we subscribe to (rtnetlink(7)).
const groups = 1<<(syscall.RTNLGRP_LINK-1) |
	1<<(syscall.RTNLGRP_IPV4_IFADDR-1) | 1<<(syscall.RTNLGRP_IPV6_IFADDR-1) |
	1<<(syscall.RTNLGRP_IPV4_ROUTE-1) | 1<<(syscall.RTNLGRP_IPV6_ROUTE-1)

func watch(changed func()) (stop func(), ok bool) {
	source, err := subscribe()
	if err != nil {
		return func() {}, false
	}
	w := &watcher{source: source, gathering: gathering, changed: changed}
	// After the subscription, so that nothing falls in between.
	if err := w.known.load(); err != nil {
		_ = source.Close()
		return func() {}, false
	}
	w.run.Go(w.follow)
	return w.stop, true
}

// subscribe opens a socket on which the kernel tells of changes.
func subscribe() (*os.File, error) {
	const kind = syscall.SOCK_RAW | syscall.SOCK_CLOEXEC | syscall.SOCK_NONBLOCK
	fd, err := syscall.Socket(syscall.AF_NETLINK, kind, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: groups}); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	source := os.NewFile(uintptr(fd), "netlink")
	if err := source.SetReadDeadline(time.Time{}); err != nil { // not in the poller
		_ = source.Close()
		return nil, err
	}
	return source, nil
}

// source gives one datagram of messages for each read.
type source interface {
	io.ReadCloser
	SetReadDeadline(t time.Time) error
}

// watcher is one call of Watch. Only its own goroutine touches known.
type watcher struct {
	source    source
	known     table
	gathering time.Duration
	changed   func()
	run       sync.WaitGroup
}

func (w *watcher) stop() {
	_ = w.source.Close()
	w.run.Wait()
}

func (w *watcher) follow() {
	b := make([]byte, receiveSize)
	for w.gather(b) {
		w.changed()
	}
}

// gather waits for a change, and then until it is time to tell of it. It is false when
// there is nothing more to wait for.
func (w *watcher) gather(b []byte) bool {
	found := false
	for {
		n, err := w.source.Read(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return w.source.SetReadDeadline(time.Time{}) == nil
		case err != nil && !errors.Is(err, syscall.ENOBUFS):
			return false
		}
		if w.news(b[:n], err) && !found {
			found = true
			if w.source.SetReadDeadline(time.Now().Add(w.gathering)) != nil {
				return false
			}
		}
	}
}

// news says whether what was read is a change. Out of buffers the kernel drops what it
// had to tell, and anything may have changed.
func (w *watcher) news(b []byte, err error) bool {
	if err == nil {
		return w.known.apply(b)
	}
	_ = w.known.load() // if it fails, something known is told again
	return true
}

//go:build !windows

package transport

import "syscall"

// unreachable says that errno means a peer or a network out of reach, which may come
// back. EPERM and EACCES are among them: a local packet filter makes them, and so does
// a full table of connections, and both come and go as interfaces and tunnels do; a ban
// that stays is found by the peer's silence.
func unreachable(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL,
		syscall.ECONNREFUSED, syscall.EPERM, syscall.EACCES:
		return true
	}
	return false
}

// refused says that nobody listens at the peer's port.
func refused(errno syscall.Errno) bool { return errno == syscall.ECONNREFUSED }

// congested says that our own interface has more to send than it can.
func congested(errno syscall.Errno) bool { return errno == syscall.ENOBUFS }

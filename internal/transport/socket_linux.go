package transport

import (
	"encoding/binary"
	"net"
	"syscall"
	"unsafe"
)

// drainLimit bounds what one drain reads. More than that makes the next call fail
// again, which drains again.
const drainLimit = 64

// Where an error comes from (linux/errqueue.h).
const (
	originLocal = 1
	originICMP  = 2
	originICMP6 = 3
)

// icmpQueue is the error queue of a UDP socket (ip(7), IP_RECVERR).
type icmpQueue struct {
	raw  syscall.RawConn
	tell func(error)
}

// openErrorQueue returns nil if the kernel refuses.
func openErrorQueue(c *net.UDPConn, tell func(error)) errorQueue {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var err4, err6 error
	err = raw.Control(func(fd uintptr) {
		// A socket for both families needs both, one for IPv4 refuses the second.
		err4 = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
		err6 = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
	})
	if err != nil || err4 != nil && err6 != nil {
		return nil
	}
	return &icmpQueue{raw: raw, tell: tell}
}

// drain tells the newest hint only: one read must not make many.
func (q *icmpQueue) drain() bool {
	var hint syscall.Errno
	_ = q.raw.Control(func(fd uintptr) {
		payload, control := make([]byte, 1), make([]byte, 256)
		for range drainLimit {
			_, n, _, _, err := syscall.Recvmsg(int(fd), payload, control, syscall.MSG_ERRQUEUE|syscall.MSG_DONTWAIT)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return
			}
			if errno := queuedError(control[:n]); unreachable(errno) {
				hint = errno
			}
		}
	})
	if hint == 0 {
		return false
	}
	q.tell(hint)
	return true
}

// queuedError finds the error in the control data of a message from the queue. It is 0
// if there is none, or none of the network's: timestamps come the same way.
func queuedError(control []byte) syscall.Errno {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		ipv4 := m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_RECVERR
		ipv6 := m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_RECVERR
		// struct sock_extended_err: a 32-bit errno and the origin come first.
		if !ipv4 && !ipv6 || len(m.Data) < 16 {
			continue
		}
		switch m.Data[4] {
		case originLocal, originICMP, originICMP6:
			return syscall.Errno(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

// wait returns when there is room to send or something to read, which makes the poller
// forget that it saw an error. It waits as a writer does, since the poller turns readers
// away, and so keeps other writers out, who would have to wait for room as well.
func (q *icmpQueue) wait() error {
	woken := false
	return q.raw.Write(func(fd uintptr) bool {
		first := !woken
		woken = true
		return !first || ready(fd) // what came before the wait wakes nobody
	})
}

// ready asks the kernel itself, past the poller.
func ready(fd uintptr) bool {
	const pollIn, pollOut = 0x1, 0x4
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollIn | pollOut}
	var now syscall.Timespec
	n, _, _ := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n == 1 && p.revents&(pollIn|pollOut) != 0
}

// reported says that the kernel makes this error of an ICMP message, and hands it to
// whichever call on the socket comes next. EMSGSIZE is one of them, when a router finds
// a packet too large; it is also a write's own failure, which path MTU discovery needs
// to see, and then the repeated write fails too.
func reported(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENONET,
		syscall.EACCES, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPROTO, syscall.EMSGSIZE:
		return true
	}
	return false
}

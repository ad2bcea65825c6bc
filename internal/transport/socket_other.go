//go:build !linux

package transport

import (
	"net"
	"syscall"
)

// openErrorQueue returns nil: only Linux tells an unconnected socket of ICMP messages.
func openErrorQueue(*net.UDPConn, func(error)) errorQueue { return nil }

func reported(syscall.Errno) bool { return false }

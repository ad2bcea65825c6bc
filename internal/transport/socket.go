package transport

import "net"

type observer interface {
	received()
	sent()
	unreachable(err error)
}

type socket struct {
	net.PacketConn
	o observer
}

func observe(c net.PacketConn, o observer, _ bool) *socket { return &socket{c, o} }

func (s *socket) tolerate() {}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, a, err := s.PacketConn.ReadFrom(b)
	if err == nil {
		s.o.received()
	}
	return n, a, err
}

func (s *socket) WriteTo(b []byte, a net.Addr) (int, error) {
	s.o.sent()
	return s.PacketConn.WriteTo(b, a)
}

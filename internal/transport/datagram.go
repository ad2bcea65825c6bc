package transport

import "errors"

// datagramQueue is how many datagrams wait here while quic-go's own queue is full.
const datagramQueue = 32

// ErrNoDatagrams is returned by [Conn.SendDatagram] if the peer takes no datagrams.
var ErrNoDatagrams = errors.New("peer takes no datagrams")

// SendDatagram queues a copy of b. quic-go blocks once it holds 32, so the queue and its
// goroutine stand between it and the caller. An idle connection has neither.
func (l *link) SendDatagram(b []byte) error {
	if !l.takesDatagrams {
		return ErrNoDatagrams
	}
	d := make([]byte, 0, len(l.datagramHeader)+len(b))
	d = append(append(d, l.datagramHeader...), b...)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.dead:
		return l.cause
	case len(l.datagrams) == datagramQueue:
		return nil
	}
	l.datagrams = append(l.datagrams, d)
	if !l.sending {
		l.sending = true
		l.workers.Go(l.sendDatagrams)
	}
	return nil
}

// sendDatagrams sends what is queued, and ends.
func (l *link) sendDatagrams() {
	for d := l.nextDatagram(); d != nil; d = l.nextDatagram() {
		// Too large, or the connection is dead: lost, as datagrams may be.
		_ = l.qconn.SendDatagram(d)
	}
}

// nextDatagram takes one from the queue; nil: there is none, and sending is over.
func (l *link) nextDatagram() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.datagrams) == 0 || l.dead {
		l.datagrams, l.sending = nil, false
		return nil
	}
	d := l.datagrams[0]
	l.datagrams = l.datagrams[1:]
	return d
}

package transport

import "errors"

// datagramQueue is how many datagrams wait here while quic-go's own queue is full.
const datagramQueue = 32

// ErrNoDatagrams is returned by [Conn.SendDatagram] if the peer takes no datagrams.
var ErrNoDatagrams = errors.New("peer takes no datagrams")

// SendDatagram queues a copy of b. quic-go blocks once it holds 32, so the queue and
// its goroutine stand between it and the caller.
func (l *link) SendDatagram(b []byte) error {
	if !l.takesDatagrams {
		return ErrNoDatagrams
	}
	queue, err := l.datagramSender()
	if err != nil {
		return err
	}
	d := make([]byte, 0, len(l.datagramHeader)+len(b))
	d = append(d, l.datagramHeader...)
	select {
	case queue <- append(d, b...):
	default:
	}
	return nil
}

// datagramSender returns the queue, and starts its goroutine on first use.
func (l *link) datagramSender() (chan<- []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return nil, l.cause
	}
	if l.datagrams == nil {
		l.datagrams = make(chan []byte, datagramQueue)
		queue := l.datagrams
		l.workers.Go(func() { l.sendDatagrams(queue) })
	}
	return l.datagrams, nil
}

func (l *link) sendDatagrams(queue <-chan []byte) {
	for {
		select {
		case d := <-queue:
			// Too large, or the connection is dead: lost, as datagrams may be.
			_ = l.qconn.SendDatagram(d)
		case <-l.done:
			return
		}
	}
}

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/wire"
)

// raw is quic-go alone with the streams and bytes of a session: the floor. Whoever has a
// frame writes it to its stream at once, and each stream is read on a goroutine of its own.
type raw struct {
	carriers  [2]*quic.Transport
	near, far *quic.Conn // near sends
	streams   []*quic.SendStream
	sequences []uint64
	last      []uint64 // ticks of the frame before
	buf       []byte
	receiving sync.WaitGroup
}

func openRaw(ctx context.Context, tracks int, seen *arrivals) (carrier, error) {
	c := &raw{
		streams: make([]*quic.SendStream, tracks), sequences: make([]uint64, tracks), last: make([]uint64, tracks),
	}
	if err := c.connect(ctx); err != nil {
		c.close()
		return nil, err
	}
	c.receiving.Go(func() { c.receive(seen) })
	return c, nil
}

func (c *raw) connect(ctx context.Context) error {
	cert, err := relay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for i := range c.carriers {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		c.carriers[i] = &quic.Transport{Conn: socket}
	}
	protocols := []string{wire.Lite06.ALPN()}
	l, err := c.carriers[0].Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}, quicConfig())
	if err != nil {
		return err
	}
	dialed := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: protocols}
	if c.far, err = c.carriers[1].Dial(ctx, c.carriers[0].Conn.LocalAddr(), dialed, quicConfig()); err != nil {
		return err
	}
	c.near, err = l.Accept(ctx)
	return err
}

func (c *raw) begin(track int) (err error) {
	if s := c.streams[track]; s != nil {
		if err := s.Close(); err != nil {
			return err
		}
	}
	if c.streams[track], err = c.near.OpenUniStreamSync(context.Background()); err != nil {
		return err
	}
	c.buf = wire.AppendVarint(c.buf[:0], uint64(wire.UniGroup))
	c.buf = wire.Group{Subscribe: uint64(track), Sequence: c.sequences[track]}.Append(c.buf, wire.Lite06)
	c.sequences[track]++
	c.last[track] = 0
	return nil
}

func (c *raw) frame(track int, at time.Duration, payload []byte) error {
	ticks := uint64(at.Microseconds())
	c.buf = wire.AppendFrameHeader(c.buf, int64(ticks)-int64(c.last[track]), len(payload))
	c.buf = append(c.buf, payload...)
	c.last[track] = ticks
	_, err := c.streams[track].Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *raw) packets() uint64 { return c.far.ConnectionStats().PacketsReceived }

// receive drains every stream until the connection ends.
func (c *raw) receive(seen *arrivals) {
	for {
		stream, err := c.far.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		c.receiving.Go(func() {
			if err := count(bufio.NewReader(stream), seen); err != nil && c.far.Context().Err() == nil {
				seen.fail(err)
			}
		})
	}
}

// count reads one stream to its end: its type, a header with its length, and frames.
func count(r *bufio.Reader, seen *arrivals) error {
	if _, err := quicvarint.Read(r); err != nil {
		return err
	}
	header, err := quicvarint.Read(r)
	if err != nil {
		return err
	}
	if _, err := r.Discard(int(header)); err != nil {
		return err
	}
	for {
		if _, err := quicvarint.Read(r); err == io.EOF { // a timestamp, or the end
			return nil
		} else if err != nil {
			return err
		}
		size, err := quicvarint.Read(r)
		if err != nil {
			return err
		}
		if _, err := r.Discard(int(size)); err != nil {
			return err
		}
		seen.frame()
	}
}

func (c *raw) close() {
	for _, conn := range []*quic.Conn{c.near, c.far} {
		if conn != nil {
			_ = conn.CloseWithError(0, "") // fails where the other end was faster
		}
	}
	c.receiving.Wait()
	for _, t := range c.carriers {
		if t != nil {
			_ = t.Close()
			_ = t.Conn.Close()
		}
	}
}

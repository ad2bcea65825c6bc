package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// latency is one way, in the simulated network.
const latency = 20 * time.Millisecond

// bed is a simulated network with one listening socket.
type bed struct {
	t       *testing.T
	net     *testnet.Network
	version wire.Version
	accept  chan transport.Conn
	target  *transport.Target
	quic    *quic.Config // both sides'
}

// onVersions runs f in a bubble for each version.
func onVersions(t *testing.T, f func(t *testing.T, b *bed)) {
	t.Helper()
	for _, v := range wire.Versions() {
		t.Run(v.String(), func(t *testing.T) { inBubble(t, v, nil, f) })
	}
}

func inBubble(t *testing.T, v wire.Version, conf *quic.Config, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if conf == nil {
			conf = &quic.Config{MaxIncomingStreams: 1000, MaxIncomingUniStreams: 1000}
		}
		b := &bed{t: t, net: testnet.New(t, latency), version: v, accept: make(chan transport.Conn, 8), quic: conf}
		b.listen()
		f(t, b)
	})
}

func (b *bed) listen() {
	b.t.Helper()
	socket := b.net.Socket()
	conf := &tls.Config{Certificates: []tls.Certificate{testnet.Certificate(b.t)}, NextProtos: []string{b.version.ALPN()}}
	quicConf := b.quic.Clone()
	quicConf.KeepAlivePeriod = 0 // that is the dialing side's affair
	quicConf.EnableDatagrams = true
	quicConf.EnableStreamResetPartialDelivery = true
	tr := &quic.Transport{Conn: socket}
	listener, err := tr.Listen(conf, quicConf)
	require.NoError(b.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			b.accept <- transport.NewQUIC(c, nil)
		}
	}()
	b.target, err = transport.ParseURL("moqt://" + testnet.AddrOf(socket).String())
	require.NoError(b.t, err)
	b.t.Cleanup(func() {
		_ = tr.Close()
		_ = socket.Close()
		<-done
	})
}

// conns returns both ends of a new connection.
func (b *bed) conns() (dialed, accepted transport.Conn) {
	b.t.Helper()
	d := &transport.Dialer{
		Protocols:    []string{b.version.ALPN()},
		TLS:          &tls.Config{RootCAs: testnet.Roots(b.t), ServerName: "localhost"},
		QUIC:         b.quic,
		ListenPacket: b.net.ListenPacket,
	}
	dialed, err := d.Dial(b.t.Context(), b.target, transport.Trial{})
	require.NoError(b.t, err)
	accepted = <-b.accept
	b.t.Cleanup(func() {
		_ = dialed.Close(0, "test over")
		_ = accepted.Close(0, "test over")
	})
	return dialed, accepted
}

// sessions returns both ends of a new session. The dialing one publishes and fills
// client, the accepting one server.
func (b *bed) sessions(client, server Config) (dialed, accepted *Session) {
	b.t.Helper()
	near, far := b.conns()
	client.Version, server.Version = b.version, b.version
	if server.Admit == nil {
		server.Admit = func(wire.Setup) (string, error) { return "", nil }
	}
	type result struct {
		s   *Session
		err error
	}
	there := make(chan result, 1)
	go func() {
		s, err := Start(b.t.Context(), far, server)
		there <- result{s, err}
	}()
	dialed, err := Start(b.t.Context(), near, client)
	require.NoError(b.t, err)
	r := <-there
	require.NoError(b.t, r.err)
	b.t.Cleanup(func() {
		dialed.Abort(0, "test over")
		r.s.Abort(0, "test over")
	})
	return dialed, r.s
}

// peer is the other side played by hand: a connection and the wire, nothing else.
type peer struct {
	t    *testing.T
	v    wire.Version
	conn transport.Conn
}

// against starts a session of ours, accepting, and plays the dialing side by hand.
func (b *bed) against(cfg Config) (*peer, *Session) {
	b.t.Helper()
	near, far := b.conns()
	cfg.Version = b.version
	cfg.Admit = func(wire.Setup) (string, error) { return "", nil }
	p := &peer{t: b.t, v: b.version, conn: near}
	p.uni(uint64(wire.UniSetup), wire.Setup{Hop: peerHop}.Append(nil, p.v))
	s, err := Start(b.t.Context(), far, cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { s.Abort(0, "test over") })
	return p, s
}

const peerHop = 77

// uni writes a whole unidirectional stream.
func (p *peer) uni(typ uint64, b []byte) {
	p.t.Helper()
	s, err := p.conn.OpenUniStream(p.t.Context())
	require.NoError(p.t, err)
	_, err = s.Write(append(wire.AppendVarint(nil, typ), b...))
	require.NoError(p.t, err)
	require.NoError(p.t, s.Close())
}

// ask opens a request and leaves it open.
func (p *peer) ask(typ wire.StreamType, b []byte) (transport.Stream, *wire.Reader) {
	p.t.Helper()
	s, err := p.conn.OpenStream(p.t.Context())
	require.NoError(p.t, err)
	_, err = s.Write(append(wire.AppendVarint(nil, uint64(typ)), b...))
	require.NoError(p.t, err)
	return s, wire.NewReader(s)
}

func (p *peer) subscribe(m wire.Subscribe) (transport.Stream, *wire.Reader) {
	p.t.Helper()
	return p.ask(wire.StreamSubscribe, m.Append(nil, p.v))
}

// answer waits for our session's next request of a type and returns its body.
func (p *peer) answer(typ wire.StreamType) (transport.Stream, []byte) {
	p.t.Helper()
	for {
		s, err := p.conn.AcceptStream(p.t.Context())
		require.NoError(p.t, err)
		r := wire.NewReader(s)
		got, err := r.Varint()
		require.NoError(p.t, err)
		if got != uint64(typ) {
			continue
		}
		body, err := r.Message()
		require.NoError(p.t, err)
		return s, body
	}
}

// group waits for the next group stream and returns its header and frames.
func (p *peer) group() (wire.Group, *wire.Reader, transport.ReceiveStream) {
	p.t.Helper()
	for {
		s, err := p.conn.AcceptUniStream(p.t.Context())
		require.NoError(p.t, err)
		r := wire.NewReader(s)
		typ, err := r.Varint()
		require.NoError(p.t, err)
		if typ != uint64(wire.UniGroup) {
			continue
		}
		body, err := r.Message()
		require.NoError(p.t, err)
		m, err := wire.ParseGroup(body, p.v)
		require.NoError(p.t, err)
		return m, r, s
	}
}

// payloads reads a group stream to its end.
func payloads(r *wire.Reader) (all []string, err error) {
	for {
		_, payload, err := r.Frame()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(payload))
	}
}

// closedWith waits for the connection's end and returns the peer's code.
func (p *peer) closedWith() moqerr.SessionCode {
	p.t.Helper()
	<-p.conn.Done()
	var ended *moqerr.SessionError
	require.ErrorAs(p.t, p.conn.Err(), &ended)
	require.True(p.t, ended.Remote)
	return ended.Code
}

// announced makes a broadcast with one track and announces it.
func announced(t *testing.T, o *pubsub.Origin, path, track string, info pubsub.TrackInfo) (*pubsub.BroadcastProducer, *pubsub.TrackProducer) {
	t.Helper()
	b, err := o.CreateBroadcast(path)
	require.NoError(t, err)
	tr, err := b.CreateTrack(track, info)
	require.NoError(t, err)
	require.NoError(t, b.Announce())
	return b, tr
}

// writeGroup appends a whole group of n frames "<sequence>/<index>", a millisecond
// apart, a second after the group before.
func writeGroup(t *testing.T, tr *pubsub.TrackProducer, n int) uint64 {
	t.Helper()
	g, err := tr.AppendGroup()
	require.NoError(t, err)
	for i := range n {
		at := time.Duration(g.Sequence())*time.Second + time.Duration(i)*time.Millisecond
		require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: fmt.Appendf(nil, "%d/%d", g.Sequence(), i)}))
	}
	require.NoError(t, g.Close())
	return g.Sequence()
}

// subscribeTo waits for path and subscribes to its track.
func subscribeTo(t *testing.T, o *pubsub.Origin, path, track string, opts pubsub.SubscribeOptions) *pubsub.TrackConsumer {
	t.Helper()
	b, err := o.Broadcast(t.Context(), path)
	require.NoError(t, err)
	c, err := b.Subscribe(t.Context(), track, opts)
	require.NoError(t, err)
	return c
}

// readGroup reads the next group to its end.
func readGroup(t *testing.T, c *pubsub.TrackConsumer) (uint64, []string) {
	t.Helper()
	g, err := c.NextGroup(t.Context())
	require.NoError(t, err)
	var all []string
	for {
		f, err := g.NextFrame(t.Context())
		if errors.Is(err, io.EOF) {
			return g.Sequence(), all
		}
		require.NoError(t, err)
		all = append(all, string(f.Payload))
	}
}

func want(sequence uint64, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%d/%d", sequence, i))
	}
	return all
}

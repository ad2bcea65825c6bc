package relay_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

const (
	latency = 20 * time.Millisecond // one way
	rtt     = 2 * latency
)

// bed is a simulated network with a relay.
type bed struct {
	t   *testing.T
	net *testnet.Network
	up  *relay.Relay
	at  netip.AddrPort
}

// onBed runs f on virtual time. It fails if a goroutine is left at the end.
func onBed(t *testing.T, conf relay.Config, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, net: testnet.New(t, latency)}
		b.up, b.at = b.relay(conf)
		f(t, b)
	})
}

// relay starts a relay at an address of its own.
func (b *bed) relay(conf relay.Config) (*relay.Relay, netip.AddrPort) {
	b.t.Helper()
	up, err := relay.New(conf)
	require.NoError(b.t, err)
	socket := b.net.Socket()
	require.NoError(b.t, up.Serve(socket))
	b.t.Cleanup(func() { require.NoError(b.t, up.Close()) })
	return up, testnet.AddrOf(socket)
}

func (b *bed) url(path string) string { return "moqt://" + b.at.String() + path }

func (b *bed) client(config moq.Config) *moq.Client {
	b.t.Helper()
	config.ListenPacket = b.net.ListenPacket
	config.Fingerprints = []string{b.up.Fingerprint()}
	c, err := moq.NewClient(config)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, c.Close()) })
	return c
}

// connect makes a session under a path of the relay's.
func (b *bed) connect(path string, config moq.Config) *moq.Session {
	b.t.Helper()
	s, err := b.client(config).Connect(b.t.Context(), b.url(path))
	require.NoError(b.t, err)
	return s
}

// publish announces a broadcast with the track "t" under a path of the relay's.
func (b *bed) publish(path, broadcast string, config moq.Config) (*pubsub.TrackProducer, *moq.Session) {
	b.t.Helper()
	config.Publish = pubsub.NewOrigin()
	p, err := config.Publish.CreateBroadcast(broadcast)
	require.NoError(b.t, err)
	track, err := p.CreateTrack("t", pubsub.TrackInfo{})
	require.NoError(b.t, err)
	require.NoError(b.t, p.Announce())
	return track, b.connect(path, config)
}

// watch returns an origin that is filled with what is seen under a path.
func (b *bed) watch(path string, config moq.Config) *pubsub.Origin {
	b.t.Helper()
	config.Subscribe = pubsub.NewOrigin()
	b.connect(path, config)
	return config.Subscribe
}

// seen returns the broadcasts that an origin knows once the network is quiet.
func (b *bed) seen(origin *pubsub.Origin) []string {
	b.t.Helper()
	time.Sleep(time.Second)
	paths := []string{}
	for a, err := range origin.Announced(b.t.Context(), "") {
		require.NoError(b.t, err)
		if a.Synced {
			break
		}
		paths = append(paths, a.Path)
	}
	return paths
}

// subscribe reads the track "t" of a broadcast.
func (b *bed) subscribe(origin *pubsub.Origin, broadcast string) *pubsub.TrackConsumer {
	b.t.Helper()
	c, err := origin.Broadcast(b.t.Context(), broadcast)
	require.NoError(b.t, err)
	sub, err := c.Subscribe(b.t.Context(), "t", pubsub.SubscribeOptions{})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = sub.Close() })
	return sub
}

// next reads the first frame of the next group.
func (b *bed) next(sub *pubsub.TrackConsumer) string {
	b.t.Helper()
	group, err := sub.NextGroup(b.t.Context())
	require.NoError(b.t, err)
	frame, err := group.NextFrame(b.t.Context())
	require.NoError(b.t, err)
	return string(frame.Payload)
}

// stranger is a connection that says what the test tells it to say.
type stranger struct{ transport.Conn }

// stranger dials with the given target's path, and says nothing yet.
func (b *bed) stranger(config *quic.Config) stranger {
	b.t.Helper()
	d := &transport.Dialer{
		Protocols:    []string{wire.Lite06.ALPN()},
		Fingerprints: [][32]byte{fingerprint(b.t, b.up)},
		ListenPacket: b.net.ListenPacket,
		QUIC:         config,
	}
	target, err := transport.ParseURL(b.url(""))
	require.NoError(b.t, err)
	conn, err := d.Dial(b.t.Context(), target, transport.Trial{})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close(0, "") })
	return stranger{conn}
}

// setup sends SETUP with a path.
func (s stranger) setup(t *testing.T, path string) {
	t.Helper()
	stream, err := s.OpenUniStream(t.Context())
	require.NoError(t, err)
	b := wire.AppendVarint(nil, uint64(wire.UniSetup))
	_, err = stream.Write(wire.Setup{Path: path}.Append(b, wire.Lite06))
	require.NoError(t, err)
	require.NoError(t, stream.Close())
}

// ask asks for the track "t" of a broadcast, named as it is.
func (s stranger) ask(t *testing.T, broadcast string) error {
	t.Helper()
	stream, err := s.OpenStream(t.Context())
	require.NoError(t, err)
	b := wire.AppendVarint(nil, uint64(wire.StreamTrack))
	_, err = stream.Write(wire.Track{Broadcast: broadcast, Name: "t"}.Append(b, wire.Lite06))
	require.NoError(t, err)
	_, err = io.ReadFull(stream, make([]byte, 1))
	return err
}

// ended waits for a session's end and returns the code that the relay gave.
func ended(t *testing.T, done <-chan struct{}, why func() error) moqerr.SessionCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		require.Fail(t, "the session goes on")
	}
	said, ok := errors.AsType[*moq.SessionError](why())
	require.True(t, ok, "%v", why())
	require.True(t, said.Remote)
	return said.Code
}

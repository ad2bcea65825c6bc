package session

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// TestDatagramsCrossSessions: through a relay, at once, with their sequences and times, and
// beside groups of the same track.
func TestDatagramsCrossSessions(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, middle, far := pubsub.NewOrigin(), pubsub.NewOrigin(), pubsub.NewOrigin()
		_, tr := announced(t, near, "x", "t", pubsub.TrackInfo{MaxAge: 20 * time.Second, Timescale: 1000})
		b.sessions(Config{Publish: near}, Config{Publish: middle, Subscribe: middle})
		b.sessions(Config{Subscribe: far}, Config{Publish: middle, Subscribe: middle})
		reader := subscribeTo(t, far, "x", "t", pubsub.SubscribeOptions{})
		time.Sleep(time.Second)
		writeGroup(t, tr, 1)
		readGroup(t, reader)
		time.Sleep(time.Second)
		begin := time.Now()
		for i := range 5 {
			at := time.Duration(i) * time.Second
			seq, err := tr.WriteDatagram(pubsub.Frame{Timestamp: at, Payload: fmt.Append(nil, i)})
			require.NoError(t, err)
			require.Equal(t, uint64(2*i+1), seq)
			writeGroup(t, tr, 1)
		}
		for i := range 5 {
			d, err := reader.NextDatagram(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(2*i+1), d.Sequence)
			require.Equal(t, uint64(1000*i), d.Ticks)
			require.Equal(t, fmt.Sprint(i), string(d.Payload))
			require.Zero(t, d.Missed)
		}
		require.LessOrEqual(t, time.Since(begin), 2*latency+time.Millisecond)
		for i := range uint64(5) {
			g, err := reader.NextGroup(t.Context())
			require.NoError(t, err)
			require.Equal(t, 2*i+2, g.Sequence())
			require.Nil(t, g.Gap(), "a datagram is no missing group")
		}
		require.LessOrEqual(t, time.Since(begin), 2*latency+time.Millisecond, "nor waited for")
		require.NoError(t, tr.Close())
		_, err := reader.NextDatagram(t.Context())
		require.EqualError(t, err, "EOF")
	})
}

// TestDatagramsDoNotWaitForStreams: while the peer gives no credit for another group,
// datagrams still come.
func TestDatagramsDoNotWaitForStreams(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		b.quic.MaxIncomingUniStreams = 3
		p, _ := b.against(Config{Publish: origin})
		p.subscribe(wire.Subscribe{ID: 9, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Minute}})
		time.Sleep(time.Second)
		for range 10 {
			_, err := tr.AppendGroup() // never finished
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		_, err := tr.WriteDatagram(pubsub.Frame{Payload: []byte("on time")})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		raw, err := p.conn.ReceiveDatagram(ctx)
		require.NoError(t, err)
		m, err := wire.ParseDatagram(raw)
		require.NoError(t, err)
		require.Equal(t, wire.Datagram{Subscribe: 9, Sequence: 10, Payload: []byte("on time")}, m)
	})
}

// TestForeignDatagrams: repeated ones are delivered once; what is malformed, or for nobody,
// as a probe is, changes nothing.
func TestForeignDatagrams(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, _ := fed(t, b)
		send := func(m wire.Datagram) { require.NoError(t, p.conn.SendDatagram(m.Append(nil, b.version))) }
		probe := wire.Datagram{Subscribe: wire.MaxVarint, Payload: bytes.Repeat([]byte{0}, 190)}
		for _, sequence := range []uint64{7, 7, 5, 7, 5, 6} {
			send(probe)
			send(wire.Datagram{Sequence: sequence, Ticks: sequence})
			require.NoError(t, p.conn.SendDatagram([]byte{0xff}))
			require.NoError(t, p.conn.SendDatagram(nil))
			time.Sleep(time.Second)
		}
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 6}.Append(nil, b.version)) // came as a datagram
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 8}.Append(nil, b.version))
		time.Sleep(time.Second)
		send(wire.Datagram{Sequence: 8}) // came as a group
		send(wire.Datagram{Sequence: 9})
		for _, want := range []uint64{7, 5, 6, 9} {
			d, err := reader.NextDatagram(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, d.Sequence)
		}
		sequence, _ := readGroup(t, reader)
		require.Equal(t, uint64(8), sequence)
		require.NoError(t, s.Err())
	})
}

// TestProbesCostNothing: a datagram for nobody is dropped without an allocation.
func TestProbesCostNothing(t *testing.T) {
	s := &Session{}
	b := wire.Datagram{Subscribe: wire.MaxVarint, Payload: make([]byte, 190)}.Append(nil, wire.Lite06)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.takeDatagram(b) }))
}

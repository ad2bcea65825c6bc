package moq

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
)

// S7: what a client sends to a peer that is down, or that offers 0-RTT.

// meter counts what the sockets of a client send, and how many of them are open at once.
type meter struct {
	net *testnet.Network

	mu      sync.Mutex
	sockets []*meteredSocket
	dialing int // sockets that are open and have not got beyond the handshake
	most    int
}

// meteredSocket notes when each datagram left, and of what kind it was.
type meteredSocket struct {
	net.PacketConn
	meter   *meter
	settled sync.Once  // when the dial is over
	sent    []datagram // guarded by meter.mu
}

type datagram struct {
	at   time.Time
	size int
	kind packetKind
}

// packetKind is the type in a long header (RFC 9000 §17.2), or short.
type packetKind byte

const (
	initial packetKind = iota
	zeroRTT
	handshake
	retryPacket
	short
)

func kindOf(p []byte) packetKind {
	if len(p) == 0 || p[0]&0x80 == 0 {
		return short
	}
	return packetKind(p[0] >> 4 & 3)
}

func (m *meter) listen(ctx context.Context, network string) (net.PacketConn, error) {
	c, err := m.net.ListenPacket(ctx, network)
	if err != nil {
		return nil, err
	}
	s := &meteredSocket{PacketConn: c, meter: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sockets = append(m.sockets, s)
	m.dialing++
	m.most = max(m.most, m.dialing)
	return s, nil
}

func (s *meteredSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	s.meter.mu.Lock()
	s.sent = append(s.sent, datagram{time.Now(), len(p), kindOf(p)})
	s.meter.mu.Unlock()
	if kindOf(p) == short {
		s.settle()
	}
	return s.PacketConn.WriteTo(p, to)
}

func (s *meteredSocket) Close() error {
	s.settle()
	return s.PacketConn.Close()
}

func (s *meteredSocket) settle() {
	s.settled.Do(func() {
		s.meter.mu.Lock()
		s.meter.dialing--
		s.meter.mu.Unlock()
	})
}

// flights returns how many datagrams a socket sent at each moment.
func (m *meter) flights() [][]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all [][]int
	for _, s := range m.sockets {
		var sizes []int
		for i, d := range s.sent {
			if i == 0 || d.at != s.sent[i-1].at {
				sizes = append(sizes, 0)
			}
			sizes[len(sizes)-1]++
		}
		all = append(all, sizes)
	}
	return all
}

func (m *meter) count(kind packetKind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.sockets {
		for _, d := range s.sent {
			if d.kind == kind {
				n++
			}
		}
	}
	return n
}

func (m *meter) atMost() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most
}

// An attempt on a peer that does not answer is at most five flights of two Initials, with
// the longest ClientHello that there is.
func TestInitialsOfAnAttempt(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		t.Run(scheme, func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				m := &meter{net: b.net}
				b.net.Dark(true)
				r := b.client(Config{ListenPacket: m.listen, Backoff: Eager()}).Reconnect(t.Context(), b.urlFor(scheme))
				for state := range r.States(t.Context()) {
					if state.Attempt == 10 {
						break
					}
				}
				require.NoError(t, r.Close())
				require.Equal(t, 1, m.atMost(), "one dial at a time")
				require.GreaterOrEqual(t, len(m.flights()), 10)
				requireModest(t, m.flights())
				require.Zero(t, m.count(short)+m.count(zeroRTT)+m.count(handshake), "Initials only")
			})
		})
	}
}

func requireModest(t *testing.T, dials [][]int) {
	t.Helper()
	for _, flights := range dials {
		require.LessOrEqual(t, len(flights), 5, "%v", flights)
		for _, datagrams := range flights {
			require.LessOrEqual(t, datagrams, 2, "%v", flights)
		}
	}
}

// On a path that has just fallen silent a dial that hears nothing is replaced, one at a
// time and for quietTime. From then on it is as above.
func TestInitialsOnASilentPath(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		m := &meter{net: b.net}
		r := b.client(Config{ListenPacket: m.listen}).Reconnect(t.Context(), b.url())
		_, err := r.Session(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		b.net.Dark(true)
		time.Sleep(quietTime)
		hurried := m.flights()[1:]
		requireModest(t, hurried)
		require.Equal(t, 1, m.atMost())
		sent := 0
		for _, flights := range hurried {
			for _, datagrams := range flights {
				sent += datagrams
			}
		}
		require.LessOrEqual(t, sent, 6*int(quietTime/(minUnheard*4/5)), "three flights of two for each")
		time.Sleep(5 * time.Minute)
		require.NoError(t, r.Close())
		requireModest(t, m.flights()[1:])
		t.Log(len(hurried), "dials and", sent, "datagrams while it hurried;", len(m.flights())-1-len(hurried), "dials in the five minutes after")
	})
}

// Nothing goes in 0-RTT, though the server offers it and there is a ticket: it could be
// replayed, and the token with it.
func TestNoEarlyData(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		t.Run(scheme, func(t *testing.T) {
			early := func() *quic.Config {
				return &quic.Config{Allow0RTT: true, MaxIncomingStreams: 100, MaxIncomingUniStreams: 100}
			}
			onBed(t, relay.Config{QUIC: early()}, func(t *testing.T, b *bed) {
				m := &meter{net: b.net}
				var resumed atomic.Int64
				conf := &tls.Config{
					RootCAs: testnet.Roots(t), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4),
					VerifyConnection: func(s tls.ConnectionState) error {
						if s.DidResume {
							resumed.Add(1)
						}
						return nil
					},
				}
				c := b.client(Config{ListenPacket: m.listen, TLS: conf})
				for range 5 {
					s, err := c.Connect(t.Context(), b.urlFor(scheme))
					require.NoError(t, err)
					time.Sleep(time.Second) // for the ticket
					require.NoError(t, s.Close())
				}
				require.Equal(t, int64(4), resumed.Load(), "there was a ticket")
				require.Zero(t, m.count(zeroRTT))
				require.Positive(t, m.count(short))
			})
		})
	}
}

// There are never more than two dials at once, whatever is asked of the supervisor.
func TestDialsAtOnce(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(r *Reconnect){
		"Kick":             (*Reconnect).Kick,
		"Check":            (*Reconnect).Check,
		"Redial":           func(r *Reconnect) { redialBriefly(r) },
		"Pause and Resume": func(r *Reconnect) { r.Pause(); r.Resume() },
		"all of them": func(r *Reconnect) {
			r.Kick()
			r.Pause()
			redialBriefly(r)
			r.Resume()
			r.Check()
		},
	} {
		for _, dark := range []string{"at first", "later", "on and off"} {
			t.Run(name+"/"+dark, func(t *testing.T) {
				onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
					b.net.Dark(dark == "at first")
					m := &meter{net: b.net}
					r := b.client(Config{ListenPacket: m.listen, Backoff: Eager()}).Reconnect(t.Context(), b.url())
					for n := range 240 {
						switch {
						case dark == "later" && n == 60:
							b.net.Dark(true)
						case dark == "on and off" && n%40 == 0:
							b.net.Dark(n%80 == 0)
						}
						ask(r)
						time.Sleep(31 * time.Millisecond)
					}
					require.NoError(t, r.Close())
					require.LessOrEqual(t, m.atMost(), 2)
					require.Positive(t, m.atMost())
					t.Log(len(m.flights()), "sockets, at most", m.atMost(), "at once")
				})
			})
		}
	}
}

// A dial that does not end when it is called off holds its slot: one more may begin beside
// it, and no third.
func TestDialsThatAreSlowToEnd(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		var now, most, all atomic.Int64
		config := Config{Backoff: Eager(), Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			most.Store(max(most.Load(), now.Add(1)))
			all.Add(1)
			defer now.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil, ctx.Err()
		}}
		r := b.client(config).Reconnect(t.Context(), "moqt://relay.test")
		for range 300 {
			r.Pause()
			r.Kick()
			time.Sleep(5 * time.Millisecond)
			r.Resume()
			r.Check()
			redialBriefly(r)
			time.Sleep(5 * time.Millisecond)
		}
		require.NoError(t, r.Close())
		require.Equal(t, int64(2), most.Load())
		require.LessOrEqual(t, all.Load(), int64(10))
	})
}

func redialBriefly(r *Reconnect) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = r.Redial(ctx)
}

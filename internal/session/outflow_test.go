package session

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestSmallGroupsWithoutCredit: a peer that lets us open any number of streams, and takes no
// data, does not make us hold every small group, whether it was whole when its stream was
// opened or not. When it reads at last, it gets the newest one.
func TestSmallGroupsWithoutCredit(t *testing.T) {
	for name, whole := range map[string]bool{"whole": true, "open": false} {
		t.Run(name, func(t *testing.T) {
			const count = 7000
			conf := &quic.Config{
				MaxIncomingStreams: 100, MaxIncomingUniStreams: 1 << 20, KeepAlivePeriod: 5 * time.Second,
				InitialConnectionReceiveWindow: 16 << 10, MaxConnectionReceiveWindow: 16 << 10,
			}
			inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
				origin := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: floodBudget})
				_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
				p, s := b.against(Config{Publish: origin})
				p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Second}})
				time.Sleep(time.Second)
				before := heap()
				for i := range count {
					g, err := tr.AppendGroup()
					require.NoError(t, err)
					if !whole {
						time.Sleep(time.Millisecond) // its stream is opened, and has nothing to say
					}
					require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: make([]byte, 200)}))
					require.NoError(t, g.Close())
					time.Sleep(time.Millisecond)
				}
				grown := heap() - before
				t.Logf("heap grew by %d KiB, %d groups wait", grown>>10, s.outflow.waits())
				require.Less(t, grown, int64(quicNoise), "less than so many would take")

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				newest := make(chan uint64, count)
				p.arrivals(ctx, func(m wire.Group) { newest <- m.Sequence })
				for seq := uint64(0); seq != count-1; {
					select {
					case seq = <-newest:
					case <-time.After(time.Minute):
						require.Fail(t, "the newest group does not come")
					}
				}
			})
		})
	}
}

// TestFewSmallGroupsWait: of those that nobody cuts so many get a stream, and not more.
func TestFewSmallGroupsWait(t *testing.T) {
	const count = 3 * maxWaiting
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 1 << 20, KeepAlivePeriod: 5 * time.Second,
		InitialConnectionReceiveWindow: 16 << 10, MaxConnectionReceiveWindow: 16 << 10,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: time.Hour})
		p, s := b.against(Config{Publish: origin})
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Hour}})
		time.Sleep(time.Second)
		for range count {
			require.NoError(t, tr.WriteNow(make([]byte, 200)))
		}
		time.Sleep(time.Second)
		require.Equal(t, 2*maxWaiting, s.outflow.waits())
		var came atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.arrivals(ctx, func(wire.Group) { came.Add(1) })
		time.Sleep(10 * time.Second)
		require.Equal(t, int64(count), came.Load())
		require.Zero(t, s.outflow.waits())
	})
}

// waits returns how many small groups wait.
func (o *outflow) waits() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting
}

// TestOutflow: the carrier is left with a few ends of writes, and with more only once those
// have left; with many where they leave at once.
func TestOutflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outflow
		through := func(d time.Duration, err error) {
			_, e := o.through(&throughStream{write: func() error {
				time.Sleep(d)
				o.hand(100)
				return err
			}}, nil)
			require.Equal(t, err, e)
		}
		var timer *time.Timer
		open := func() bool {
			yes, _ := o.open()
			return yes
		}
		for range 2 {
			for o.handed.Load()-o.left.Load() <= maxUnsent*3/4 {
				require.True(t, open())
				o.hand(1 << 20)
			}
			require.False(t, open(), "one finds out")
			require.True(t, open(), "others need not")
			for o.handed.Load()-o.left.Load() <= maxUnsent {
				o.hand(1 << 20)
			}
			require.False(t, open(), "now they do")
			through(0, io.ErrClosedPipe)
			require.False(t, open(), "it has not left")
			through(late/2, nil)
			require.True(t, open())
			require.Equal(t, int64(100), o.handed.Load()-o.left.Load(), "what was handed over meanwhile")
		}
		fill := func() {
			for o.handed.Load()-o.left.Load() <= maxUnsent {
				o.hand(1 << 20)
			}
			require.False(t, open())
		}
		fill()
		go through(soon/2, nil)
		require.True(t, o.openSoon(&timer))
		fill()
		go through(late+1, nil)
		begun := time.Now()
		require.False(t, o.openSoon(&timer))
		require.Equal(t, soon, time.Since(begun))
		require.False(t, o.openSoon(&timer))
		require.Equal(t, soon, time.Since(begun), "it is known to be slow")
		time.Sleep(late)
		synctest.Wait()
		require.True(t, open())
		fill()
		require.False(t, o.openSoon(&timer))
		require.Equal(t, soon+late, time.Since(begun), "still")
		through(0, nil)
		fill()
		go through(soon/2, nil)
		require.True(t, o.openSoon(&timer), "not any more")
	})
}

// throughStream has a WriteThrough of its own.
type throughStream struct {
	transport.SendStream
	write func() error
}

func (s *throughStream) WriteThrough([]byte) (int, error) { return 0, s.write() }

// TestRoomForSmallGroups: so many may wait for the carrier, and as many more of the most
// urgent subscriptions.
func TestRoomForSmallGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outflow
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range maxWaiting - 1 {
			o.enter()
		}
		require.NoError(t, o.await(ended, false))
		o.enter()
		require.ErrorIs(t, o.await(ended, false), context.Canceled)
		require.NoError(t, o.await(ended, true))
		for range maxWaiting {
			o.enter()
		}
		require.ErrorIs(t, o.await(ended, true), context.Canceled)
		got := make(chan error, 2)
		for _, urgent := range []bool{true, false} {
			go func() { got <- o.await(t.Context(), urgent) }()
		}
		synctest.Wait()
		require.Empty(t, got)
		o.leave()
		synctest.Wait()
		require.Len(t, got, 1, "the urgent one")
		for range maxWaiting {
			o.leave()
		}
		synctest.Wait()
		require.Len(t, got, 2)
	})
}

// TestCreditForSomeStreams: a peer that gives credit for data to the newest stream only, one
// after the other, does not make us hold the ends of all others: they are cut like any group.
func TestCreditForSomeStreams(t *testing.T) {
	for name, size := range map[string]int{"small groups": 200, "larger ones": 1700, "the largest": batchBytes} {
		t.Run(name, func(t *testing.T) {
			const count = 2000
			conf := &quic.Config{
				MaxIncomingStreams: 100, MaxIncomingUniStreams: 1 << 20, KeepAlivePeriod: 5 * time.Second,
				InitialStreamReceiveWindow: uint64(size - 100), MaxStreamReceiveWindow: uint64(size - 100),
				InitialConnectionReceiveWindow: 1 << 30, MaxConnectionReceiveWindow: 1 << 30,
			}
			inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
				origin := pubsub.NewOrigin()
				_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
				p, _ := b.against(Config{Publish: origin})
				replies, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 100 * time.Millisecond}})
				go func() { _, _ = io.Copy(io.Discard, replies) }()
				streams := make(chan transport.ReceiveStream, count)
				go func() {
					for {
						in, err := p.conn.AcceptUniStream(t.Context())
						if err != nil {
							return
						}
						streams <- in
					}
				}()
				comes := func(in transport.ReceiveStream) bool {
					require.NoError(t, in.SetReadDeadline(time.Now().Add(5*latency)))
					got, err := io.ReadAll(in)
					return err == nil && len(got) > size
				}
				var others []transport.ReceiveStream
				whole := 0
				for i := range count {
					require.NoError(t, tr.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: make([]byte, size)}))
					time.Sleep(time.Millisecond)
					if i%10 != 9 {
						continue
					}
					for len(streams) > 1 {
						others = append(others, <-streams)
					}
					if len(streams) > 0 && comes(<-streams) {
						whole++
					}
				}
				time.Sleep(time.Second)
				held := 0
				for _, in := range others {
					if comes(in) {
						held++
					}
				}
				t.Logf("%d groups came whole, %d of %d others were held", whole, held, len(others))
				require.Greater(t, whole, count/10*3/4)
				require.Greater(t, len(others), count*3/4)
				require.LessOrEqual(t, held, 100, "those that are not too old yet")
			})
		})
	}
}

// TestCutSmallGroupWithoutCredit: a group that was cut is not taken for a whole one since it had to
// wait.
func TestCutSmallGroupWithoutCredit(t *testing.T) {
	for name, frames := range map[string]int{"with a frame": 1, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			conf := &quic.Config{
				MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, KeepAlivePeriod: 5 * time.Second,
				InitialStreamReceiveWindow: 100, MaxStreamReceiveWindow: 100,
			}
			if frames == 0 {
				conf.InitialStreamReceiveWindow, conf.MaxStreamReceiveWindow = 3, 3
			}
			inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
				origin := pubsub.NewOrigin()
				_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
				g, err := tr.AppendGroup()
				require.NoError(t, err)
				for range frames {
					require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: make([]byte, 200)}))
				}
				g.Abort(moqerr.StreamTooFarBehind)
				p, _ := b.against(Config{Publish: origin})
				p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Second}})
				var got []byte
				for len(got) == 0 || got[0] != byte(wire.UniGroup) { // past SETUP
					in, e := p.conn.AcceptUniStream(t.Context())
					require.NoError(t, e)
					if got, err = io.ReadAll(in); err != nil {
						break
					}
				}
				require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamTooFarBehind, Remote: true})
			})
		})
	}
}

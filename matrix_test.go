package moq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// R6: nothing blocks for ever. Each call that can wait is made in each state, and ended in
// each way. A test by reflection sees to it that no exported method is forgotten.

const (
	turns = 4
	// soon is how long a call may go on after its context has ended.
	soon = 100 * time.Millisecond
	// drained is how long Close takes at most, and hungUp how much longer on WebTransport,
	// where the peer is to hang up.
	drained = time.Second
	hungUp  = time.Second
)

// stand is what the calls are made on. What a state cannot have is nil.
type stand struct {
	b       *bed
	url     string
	client  *Client
	r       *Reconnect
	session *Session
	sink    *pubsub.Origin

	broadcast *pubsub.BroadcastConsumer
	track     *pubsub.TrackConsumer
	arrivals  *pubsub.TrackConsumer
	group     *pubsub.GroupConsumer
	follower  *pubsub.Follower
	requests  *pubsub.Requests
	feed      *pubsub.Feed
	missing   *pubsub.TrackRequests
	cursor    *pubsub.Announcements
}

// waits is a call that can wait.
type waits struct {
	method string // Type.Method
	make   func(ctx context.Context, st *stand) error
	has    func(st *stand) bool // what it is called on is there; nil: always
	// stays says that the end of the supervisor is not the end of the call.
	stays bool
	// turn parts calls that must not be made at once: one reader reads at a time, and
	// Redial changes the state of the others.
	turn int
}

// each drains an iterator.
func each[V any](seq func(yield func(V) bool)) error {
	for range seq {
		continue
	}
	return nil
}

func each2[V any](seq func(yield func(V, error) bool)) error {
	var last error
	for _, err := range seq {
		last = err
	}
	return last
}

func hasTrack(st *stand) bool { return st.track != nil }

var waiting = []waits{
	{method: "Client.Connect", make: func(ctx context.Context, st *stand) error {
		s, err := st.client.Connect(ctx, st.url)
		if err == nil {
			_ = s.Close()
		}
		return err
	}, stays: true},
	{method: "Reconnect.Wait", make: func(ctx context.Context, st *stand) error { return st.r.Wait(ctx) }},
	{method: "Reconnect.Session", make: func(ctx context.Context, st *stand) error { _, err := st.r.Session(ctx); return err }},
	{method: "Reconnect.Sessions", make: func(ctx context.Context, st *stand) error { return each(st.r.Sessions(ctx)) }},
	{method: "Reconnect.States", make: func(ctx context.Context, st *stand) error { return each(st.r.States(ctx)) }},
	{method: "Reconnect.Redial", make: func(ctx context.Context, st *stand) error { return st.r.Redial(ctx) }, turn: 1},

	{method: "Origin.Broadcast", make: func(ctx context.Context, st *stand) error {
		_, err := st.sink.Broadcast(ctx, "absent")
		return err
	}},
	{method: "Origin.Announced", make: func(ctx context.Context, st *stand) error { return each2(st.sink.Announced(ctx, "")) }},
	{method: "Announcements.Next", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.cursor.Next(ctx); err != nil {
				return err
			}
		}
	}},
	{method: "Feed.Next", make: func(ctx context.Context, st *stand) error { _, err := st.feed.Next(ctx); return err }, stays: true},
	{method: "Feed.NextFetch", make: func(ctx context.Context, st *stand) error { _, err := st.feed.NextFetch(ctx); return err }, stays: true},
	{method: "TrackRequests.Next", make: func(ctx context.Context, st *stand) error { _, err := st.missing.Next(ctx); return err }, stays: true},
	{method: "Requests.Next", make: func(ctx context.Context, st *stand) error { _, err := st.requests.Next(ctx); return err }, stays: true},
	{method: "Follower.NextGroup", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.follower.NextGroup(ctx); err != nil {
				return err
			}
		}
	}},
	{method: "Follower.Groups", make: func(ctx context.Context, st *stand) error {
		f := st.sink.Follow("clock", "ticks", pubsub.FollowOptions{})
		defer f.Close()
		return each2(f.Groups(ctx))
	}},
	{method: "BroadcastConsumer.Subscribe", make: func(ctx context.Context, st *stand) error {
		c, err := st.broadcast.Subscribe(ctx, "silent", pubsub.SubscribeOptions{})
		if err == nil {
			_ = c.Close()
		}
		return err
	}, has: func(st *stand) bool { return st.broadcast != nil }},
	{method: "BroadcastConsumer.TrackInfo", make: func(ctx context.Context, st *stand) error {
		_, err := st.broadcast.TrackInfo(ctx, "unknown")
		return err
	}, has: func(st *stand) bool { return st.broadcast != nil }},
	{method: "BroadcastConsumer.Fetch", make: func(ctx context.Context, st *stand) error {
		g, err := st.broadcast.Fetch(ctx, "silent", 0, pubsub.FetchOptions{})
		if err == nil {
			_ = g.Close()
		}
		return err
	}, has: func(st *stand) bool { return st.broadcast != nil }},
	{method: "TrackConsumer.NextGroup", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.track.NextGroup(ctx); err != nil {
				return err
			}
		}
	}, has: hasTrack},
	{method: "TrackConsumer.Groups", make: func(ctx context.Context, st *stand) error { return each2(st.track.Groups(ctx)) }, has: hasTrack, turn: 1},
	{method: "TrackConsumer.NextArrival", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.arrivals.NextArrival(ctx); err != nil {
				return err
			}
		}
	}, has: hasTrack},
	{method: "TrackConsumer.Arrivals", make: func(ctx context.Context, st *stand) error { return each2(st.arrivals.Arrivals(ctx)) }, has: hasTrack, turn: 1},
	{method: "TrackConsumer.NextDatagram", make: func(ctx context.Context, st *stand) error { _, err := st.track.NextDatagram(ctx); return err }, has: hasTrack},
	{method: "TrackConsumer.Datagrams", make: func(ctx context.Context, st *stand) error { return each2(st.track.Datagrams(ctx)) }, has: hasTrack, turn: 1},
	{method: "GroupConsumer.NextFrame", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.group.NextFrame(ctx); err != nil {
				return err
			}
		}
	}, has: hasTrack},
	{method: "GroupConsumer.AppendFrame", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.group.AppendFrame(ctx, nil); err != nil {
				return err
			}
		}
	}, has: hasTrack, turn: 1},
	{method: "GroupConsumer.ReadRaw", make: func(ctx context.Context, st *stand) error {
		for {
			if _, err := st.group.ReadRaw(ctx, make([]pubsub.RawFrame, 1)); err != nil {
				return err
			}
		}
	}, has: hasTrack, turn: 2},
	{method: "GroupConsumer.Frames", make: func(ctx context.Context, st *stand) error { return each2(st.group.Frames(ctx)) }, has: hasTrack, turn: 3},
}

// closing are the calls that end something and wait for its end.
var closing = []waits{
	{method: "Client.Close", make: func(_ context.Context, st *stand) error { return st.client.Close() }},
	{method: "Reconnect.Close", make: func(_ context.Context, st *stand) error { return st.r.Close() }},
	{
		method: "Session.Close", make: func(_ context.Context, st *stand) error { return st.session.Close() },
		has: func(st *stand) bool { return st.session != nil },
	},
	{
		method: "Session.Abort", make: func(_ context.Context, st *stand) error { st.session.Abort(SessionApplication, "enough"); return nil },
		has: func(st *stand) bool { return st.session != nil },
	},
	{method: "Follower.Close", make: func(_ context.Context, st *stand) error { return st.follower.Close() }},
	{method: "TrackConsumer.Close", make: func(_ context.Context, st *stand) error { return st.track.Close() }, has: hasTrack},
	{method: "GroupConsumer.Close", make: func(_ context.Context, st *stand) error { return st.group.Close() }, has: hasTrack},
	{method: "Announcements.Close", make: func(_ context.Context, st *stand) error { st.cursor.Close(); return nil }},
	{method: "Feed.Close", make: func(_ context.Context, st *stand) error { st.feed.Close(nil); return nil }},
	{method: "TrackRequests.Close", make: func(_ context.Context, st *stand) error { return st.missing.Close() }},
	{method: "Requests.Close", make: func(_ context.Context, st *stand) error { st.requests.Close(nil); return nil }},
}

// instant are the methods that do not wait for anything, whatever the state.
var instant = map[string][]string{
	"Client":    {"Reconnect", "String", "Format", "MarshalText"},
	"Reconnect": {"Closed", "Err", "State", "Kick", "Check", "Pause", "Resume", "Stats", "String", "Format", "MarshalText"},
	"Session":   {"Closed", "Err", "Version", "Transport", "RemoteAddr", "GoingAway", "Stats", "String", "Format", "MarshalText"},
	"Origin": {
		"Announcements", "CreateBroadcast", "Feed", "FeedWith", "Attach", "Serve", "Follow", "Identity", "NextSequence",
		"Budget", "Routes", "Lookup", "Supervise",
	},

	"Announcements":     {"Ready", "Len"},
	"Feed":              {"Attach", "AnswerFetches"},
	"Requests":          {"Update"},
	"Request":           {"Path", "Track", "Demand", "Done", "Accept", "Reject"},
	"FetchRequest":      {"Path", "Track", "Group", "Options", "Info", "Left", "Accept", "Reject"},
	"Budget":            {"Take", "Give", "Held"},
	"Follower":          {"Update", "State"},
	"BroadcastConsumer": {"Path", "Source", "Closed"},
	"TrackConsumer":     {"Info", "Update", "Final", "Floor", "Stale", "StaleIn", "Dropped"},
	"GroupConsumer":     {"Sequence", "Gap", "Gaps", "Index", "Complete", "Size", "Buffered"},
	"BroadcastProducer": {"Path", "CreateTrack", "Tracks", "Announce", "Unannounce", "Close"},
	"TrackProducer": {
		"Name", "Info", "AppendGroup", "CreateGroup", "CreateTail", "WriteFrame", "WriteNow", "WriteDatagram", "PutDatagram",
		"Demand", "Close", "Abort", "Fail", "Release", "StartAt", "EndAt", "Drop",
	},
	"GroupProducer": {"Sequence", "WriteFrame", "WriteOwned", "WriteRaw", "WritePart", "Close", "Abort", "Fail"},
}

// TestMatrixIsWhole: a new method has to say whether it waits.
func TestMatrixIsWhole(t *testing.T) {
	takesContext := reflect.TypeFor[context.Context]()
	known := make(map[string]bool)
	for _, call := range append(append([]waits(nil), waiting...), closing...) {
		require.False(t, known[call.method], "%s stands there twice", call.method)
		known[call.method] = true
	}
	for _, handle := range []reflect.Type{
		reflect.TypeFor[*Client](), reflect.TypeFor[*Session](), reflect.TypeFor[*Reconnect](),
		reflect.TypeFor[*pubsub.Origin](), reflect.TypeFor[*pubsub.Announcements](), reflect.TypeFor[*pubsub.Feed](),
		reflect.TypeFor[*pubsub.Requests](), reflect.TypeFor[*pubsub.Request](), reflect.TypeFor[*pubsub.Follower](),
		reflect.TypeFor[*pubsub.BroadcastConsumer](), reflect.TypeFor[*pubsub.TrackConsumer](), reflect.TypeFor[*pubsub.GroupConsumer](),
		reflect.TypeFor[*pubsub.FetchRequest](), reflect.TypeFor[*pubsub.TrackRequests](), reflect.TypeFor[*pubsub.Budget](),
		reflect.TypeFor[*pubsub.BroadcastProducer](), reflect.TypeFor[*pubsub.TrackProducer](), reflect.TypeFor[*pubsub.GroupProducer](),
	} {
		name := handle.Elem().Name()
		quick := make(map[string]bool)
		for _, method := range instant[name] {
			quick[method] = true
		}
		for i := range handle.NumMethod() {
			m := handle.Method(i)
			require.NotEqual(t, known[name+"."+m.Name], quick[m.Name], "does %s.%s wait?", name, m.Name)
			delete(quick, m.Name)
			delete(known, name+"."+m.Name)
			for in := range m.Type.NumIn() {
				bounded := name + "." + m.Name // Reconnect's context bounds a life
				require.False(t, m.Type.In(in) == takesContext && quick[m.Name] && bounded != "Client.Reconnect", bounded)
			}
		}
		require.Empty(t, quick, "%s has no such methods", name)
	}
	require.Empty(t, known, "there are no such methods")
}

// situation brings a client into a state.
type situation struct {
	name  string
	conf  func(scheme string) relay.Config
	amend func(*relay.Relay)
	host  string
	make  func(c *Config) // changes the client
	enter func(t *testing.T, st *stand)
	phase Phase
}

// deaf serves QUIC connections to which the relay never says a word.
func deaf(up *relay.Relay) {
	for _, v := range versions {
		up.Handle(string(v), func(conn *quic.Conn) { <-conn.Context().Done() })
	}
}

var situations = []situation{
	{name: "in DNS", host: "relay.test", phase: Connecting, make: func(c *Config) {
		c.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
	}},
	{name: "in the handshake", host: "10.0.9.9:1", phase: Connecting},
	{name: "in SETUP", amend: deaf, phase: Connecting},
	{name: "waiting", phase: Waiting, make: func(c *Config) {
		c.Backoff = Backoff{Initial: time.Hour}
		c.ListenPacket = func(context.Context, string) (net.PacketConn, error) { return nil, errDown }
	}},
	{name: "connected", phase: Connected, enter: furnish},
	{name: "migrating", phase: Migrating, enter: func(t *testing.T, st *stand) {
		furnish(t, st)
		st.b.net.Dark(true)
		st.await(Migrating)
	}},
	{name: "lost", phase: Connecting, enter: func(t *testing.T, st *stand) {
		furnish(t, st)
		st.b.net.Dark(true)
		for state := range st.r.States(t.Context()) {
			if state.Losses > 0 {
				return
			}
		}
	}},
	{name: "paused", phase: Paused, enter: func(t *testing.T, st *stand) {
		furnish(t, st)
		st.r.Pause()
		st.await(Paused)
	}},
	{name: "stopped", phase: Stopped, conf: func(string) relay.Config {
		return relay.Config{Admit: func(string) error { return errors.New("no") }}
	}},
	{name: "client closed", phase: Stopped, enter: func(t *testing.T, st *stand) {
		furnish(t, st)
		require.NoError(t, st.client.Close())
	}},
	// The announcements take the only stream that the peer grants.
	{name: "no stream credit", phase: Connected, conf: func(scheme string) relay.Config {
		granted := int64(1)
		if scheme == "https" {
			granted++ // for CONNECT
		}
		return relay.Config{QUIC: &quic.Config{MaxIncomingStreams: granted, MaxIncomingUniStreams: 16}}
	}, enter: func(t *testing.T, st *stand) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := st.sink.Broadcast(ctx, "clock")
		require.NoError(t, err)
		st.broadcast = c
	}},
	{name: "little flow credit", phase: Connected, conf: func(string) relay.Config {
		return relay.Config{QUIC: &quic.Config{
			MaxIncomingStreams: 100, MaxIncomingUniStreams: 16,
			InitialStreamReceiveWindow: 256, MaxStreamReceiveWindow: 256,
			InitialConnectionReceiveWindow: 512, MaxConnectionReceiveWindow: 512,
		}}
	}, enter: furnish},
}

// furnish gets hold of consumers on a live session.
func furnish(t *testing.T, st *stand) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := st.sink.Broadcast(ctx, "clock")
	require.NoError(t, err)
	st.broadcast = c
	st.track, err = c.Subscribe(ctx, "ticks", pubsub.SubscribeOptions{})
	require.NoError(t, err)
	st.arrivals, err = c.Subscribe(ctx, "ticks", pubsub.SubscribeOptions{})
	require.NoError(t, err)
	st.group, err = st.track.NextGroup(ctx)
	require.NoError(t, err)
}

// await waits for a phase.
func (st *stand) await(phase Phase) {
	for state := range st.r.States(st.b.t.Context()) {
		if state.Phase == phase {
			return
		}
	}
}

// on runs f in a situation.
func (s situation) on(t *testing.T, scheme string, f func(t *testing.T, st *stand)) {
	t.Helper()
	var conf relay.Config
	if s.conf != nil {
		conf = s.conf(scheme)
	}
	onBed(t, conf, func(t *testing.T, b *bed) {
		if s.amend != nil {
			b.amend = s.amend
			require.NoError(t, b.up.Close())
			b.start()
		}
		source := b.up.Origin()
		clock, err := source.CreateBroadcast("clock")
		require.NoError(t, err)
		ticks, err := clock.CreateTrack("ticks", pubsub.TrackInfo{})
		require.NoError(t, err)
		_, err = clock.CreateTrack("silent", pubsub.TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, clock.Announce())
		group, err := ticks.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, group.WriteFrame(pubsub.Frame{Payload: []byte("tick")}))

		st := &stand{b: b, url: scheme + "://" + b.at.String(), sink: pubsub.NewOrigin()}
		if s.host != "" {
			st.url = scheme + "://" + s.host
		}
		config := Config{Subscribe: st.sink, ConnectTimeout: -1}
		if s.make != nil {
			s.make(&config)
		}
		st.client = b.client(config)
		st.r = st.client.Reconnect(t.Context(), st.url)
		st.follower = st.sink.Follow("clock", "ticks", pubsub.FollowOptions{})
		st.cursor = st.sink.Announcements("", 0)
		st.feed = pubsub.NewOrigin().Feed()
		bare, err := pubsub.NewOrigin().CreateBroadcast("bare")
		require.NoError(t, err)
		st.missing = bare.Tracks()
		st.requests, err = pubsub.NewOrigin().Attach(pubsub.Route{Prefix: "x"})
		require.NoError(t, err)
		defer func() {
			_ = st.follower.Close()
			st.cursor.Close()
		}()
		if s.enter != nil {
			st.session, err = st.r.Session(t.Context())
			require.NoError(t, err)
			s.enter(t, st)
		} else {
			st.await(s.phase)
			time.Sleep(time.Second) // well into it
		}
		require.Equal(t, s.phase, st.r.State().Phase)
		f(t, st)
	})
}

// end is a way in which a call comes to its end.
type end struct {
	name string
	dark bool // the peer is black-holed before the call
	// close ends what the calls depend on; nil: the context ends.
	close    func(st *stand) error
	deadline bool
}

var ends = []end{
	{name: "cancel"},
	{name: "deadline", deadline: true},
	{name: "cancel in the dark", dark: true},
	{name: "Reconnect.Close", close: func(st *stand) error { return st.r.Close() }},
	{name: "Client.Close", close: func(st *stand) error { return st.client.Close() }},
	{name: "Reconnect.Close in the dark", dark: true, close: func(st *stand) error { return st.r.Close() }},
	{name: "Client.Close in the dark", dark: true, close: func(st *stand) error { return st.client.Close() }},
}

var errEnough = errors.New("enough")

// TestNothingWaitsForEver: every call in every state, ended in every way.
func TestNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	waited := make(map[string]bool)
	for _, s := range situations {
		for _, e := range ends {
			for _, scheme := range []string{"moqt", "https"} {
				if s.amend != nil && scheme == "https" {
					continue // it is deaf on raw QUIC
				}
				t.Run(s.name+"/"+e.name+"/"+scheme, func(t *testing.T) {
					for turn := range turns {
						if turn > 1 && s.enter == nil {
							continue // there is nothing to read
						}
						s.on(t, scheme, func(t *testing.T, st *stand) {
							for method := range endsCalls(t, st, e, turn) {
								waited[method] = true
							}
						})
					}
				})
			}
		}
	}
	for _, call := range waiting {
		require.True(t, waited[call.method], "%s was never seen to wait", call.method)
	}
}

// endsCalls makes the calls, ends them, and returns those that had been waiting.
func endsCalls(t *testing.T, st *stand, e end, turn int) map[string]bool {
	const given = 2 * time.Second
	if e.dark {
		st.b.net.Dark(true)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	if e.deadline {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, given, errEnough)
		defer stop()
	}
	var mu sync.Mutex
	left := make(map[string]bool)
	failures := make(map[string]error)
	var calls sync.WaitGroup
	for _, call := range waiting {
		if call.has != nil && !call.has(st) || call.turn != turn {
			continue
		}
		mu.Lock()
		left[call.method] = true
		mu.Unlock()
		calls.Go(func() {
			err := call.make(ctx, st)
			mu.Lock()
			defer mu.Unlock()
			delete(left, call.method)
			failures[call.method] = err
		})
	}
	snapshot := func() map[string]bool {
		mu.Lock()
		defer mu.Unlock()
		still := make(map[string]bool)
		for method := range left {
			still[method] = true
		}
		return still
	}
	time.Sleep(given - time.Nanosecond)
	waited := snapshot()
	if e.close != nil {
		var closed sync.WaitGroup
		closed.Go(func() { _ = e.close(st) })
		time.Sleep(drained + hungUp + soon)
		still := snapshot()
		for _, call := range waiting {
			if still[call.method] {
				require.True(t, call.stays, "%s did not end with what it depends on", call.method)
			}
		}
		requireEnd(t, 0, closed.Wait, e.name)
	}
	if !e.deadline {
		cancel(errEnough)
	}
	time.Sleep(soon)
	require.Empty(t, snapshot(), "they go on")
	calls.Wait()
	for method := range waited {
		err := failures[method]
		if e.close == nil && method != "Reconnect.Sessions" && method != "Reconnect.States" { // those yield no error
			require.Error(t, err, "%s says nothing of its end", method)
		}
	}
	return waited
}

// requireEnd runs f, which has to return within limit.
func requireEnd(t *testing.T, limit time.Duration, f func(), name string) {
	t.Helper()
	began, done := time.Now(), make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		require.LessOrEqual(t, time.Since(began), limit, name)
	case <-time.After(limit + time.Minute):
		require.Failf(t, "it goes on", "%s", name)
	}
}

// TestCloseInEveryState: it takes a second at most, and nothing the second time.
func TestCloseInEveryState(t *testing.T) {
	t.Parallel()
	for _, s := range situations {
		for _, call := range closing {
			if call.has != nil && s.enter == nil {
				continue // there is no session
			}
			for _, dark := range []bool{false, true} {
				for _, scheme := range []string{"moqt", "https"} {
					if s.amend != nil && scheme == "https" {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/dark=%v/%s", s.name, call.method, dark, scheme), func(t *testing.T) {
						s.on(t, scheme, func(t *testing.T, st *stand) {
							if call.has != nil && !call.has(st) {
								return
							}
							st.b.net.Dark(dark || s.name == "migrating" || s.name == "lost")
							limit := drained
							if scheme == "https" {
								limit += hungUp
							}
							end := func() { _ = call.make(t.Context(), st) }
							requireEnd(t, limit, end, call.method)
							requireEnd(t, 0, end, call.method+" again")
						})
					})
				}
			}
		}
	}
}

// TestInstantInEveryState: what does not wait takes no time at all.
func TestInstantInEveryState(t *testing.T) {
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			s.on(t, "moqt", func(t *testing.T, st *stand) {
				began := time.Now()
				for _, handle := range []any{st.client, st.r, st.session, st.sink, st.follower, st.broadcast, st.track, st.group} {
					v := reflect.ValueOf(handle)
					if v.IsNil() {
						continue
					}
					for _, name := range instant[v.Type().Elem().Name()] {
						if m := v.MethodByName(name); m.Type().NumIn() == 0 {
							m.Call(nil)
						}
					}
				}
				_, _ = st.sink.Lookup("clock", 0)
				require.NoError(t, st.follower.Update(pubsub.SubscribeOptions{}))
				_ = st.client.Reconnect(t.Context(), st.url)
				require.Zero(t, time.Since(began))
			})
		})
	}
}

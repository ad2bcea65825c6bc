package pubsub

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

func TestTrackInfoDefaults(t *testing.T) {
	b := announced(t, NewOrigin(), "b")
	tp, err := b.CreateTrack("zero", TrackInfo{})
	require.NoError(t, err)
	require.Equal(t, TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1_000_000}, tp.Info())
	tp, err = b.CreateTrack("live", TrackInfo{Priority: 1, MaxAge: -1, Timescale: 90_000})
	require.NoError(t, err)
	require.Equal(t, TrackInfo{Priority: 1, MaxAge: 0, Timescale: 90_000}, tp.Info())
	require.Equal(t, "live", tp.Name())
	_, err = b.CreateTrack("bad", TrackInfo{Timescale: maxVarint + 1})
	var conf *moqerr.ConfigError
	require.ErrorAs(t, err, &conf)
	require.Equal(t, "TrackInfo.Timescale", conf.Field)
}

func TestTrackNumbering(t *testing.T) {
	tp := newTestTrack(t, NewOrigin(), 0)
	g, err := tp.AppendGroup()
	require.NoError(t, err)
	require.Equal(t, uint64(0), g.Sequence())
	g, err = tp.CreateGroup(10)
	require.NoError(t, err)
	require.Equal(t, uint64(10), g.Sequence())
	_, err = tp.CreateGroup(4)
	require.NoError(t, err, "out of order")
	_, err = tp.CreateGroup(10)
	require.ErrorIs(t, err, moqerr.ErrDuplicate)
	g, err = tp.AppendGroup()
	require.NoError(t, err)
	require.Equal(t, uint64(11), g.Sequence(), "the highest used, plus one")

	_, err = tp.CreateGroup(maxSequence + 1)
	require.ErrorContains(t, err, "sequence")
	_, err = tp.CreateGroup(maxSequence)
	require.NoError(t, err)
	_, err = tp.AppendGroup()
	require.ErrorContains(t, err, "sequence", "nothing wraps around")
}

func TestTrackNumberingNeverGoesBack(t *testing.T) {
	o := NewOrigin()
	b := announced(t, o, "b")
	first, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	_, err = b.CreateTrack("t", TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrDuplicate)
	putGroup(t, first, 41, 0, 1)
	require.NoError(t, first.Close())

	ends := []struct {
		name string
		end  func(*TrackProducer)
	}{
		{"close", func(p *TrackProducer) { _ = p.Close() }},
		{"abort", func(p *TrackProducer) { p.Abort(moqerr.StreamCancelled) }},
		{"broadcast", func(*TrackProducer) { _ = b.Close() }},
	}
	want := uint64(42)
	for _, e := range ends {
		tp, err := b.CreateTrack("t", TrackInfo{})
		require.NoError(t, err, e.name)
		_, err = tp.CreateGroup(want - 1)
		require.ErrorIs(t, err, moqerr.ErrTooOld, e.name)
		g, err := tp.AppendGroup()
		require.NoError(t, err)
		require.Equal(t, want, g.Sequence(), e.name)
		e.end(tp)
		want++
	}
	other, err := announced(t, o, "other").CreateTrack("elsewhere", TrackInfo{})
	require.NoError(t, err)
	g, err := other.AppendGroup()
	require.NoError(t, err)
	require.Equal(t, want, g.Sequence(), "the mark is the origin's")

	o = NewOriginWith(OriginOptions{FirstSequence: 1000})
	g, err = newTestTrack(t, o, 0).AppendGroup()
	require.NoError(t, err)
	require.Equal(t, uint64(1000), g.Sequence())
}

func TestTrackEnds(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	open := openAt(t, tp, 0, 0, 1)
	c := subscribe(t, o, SubscribeOptions{})
	require.NoError(t, tp.Close())
	require.NoError(t, tp.Close())
	_, err := tp.AppendGroup()
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.ErrorIs(t, tp.WriteFrame(Frame{}), moqerr.ErrClosed)
	putFrame(t, open, 0, 1)
	require.NoError(t, open.Close(), "an open group may still be finished")

	for _, c := range []*TrackConsumer{c, subscribe(t, o, SubscribeOptions{})} {
		g, err := c.NextGroup(testCtx(t))
		require.NoError(t, err)
		got, err := readAll(t, g)
		require.NoError(t, err)
		require.Equal(t, []string{"0/0", "0/1"}, got)
		_, err = c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
		final, known := c.Final()
		require.True(t, known)
		require.Equal(t, uint64(1), final)
	}
}

func TestTrackAbort(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 0, 0, 1)
	open := openAt(t, tp, 2, 0, 1)
	tp.Abort(moqerr.StreamApplication)
	require.ErrorIs(t, open.WriteFrame(Frame{}), moqerr.ErrClosed)
	cut := &moqerr.StreamError{Code: moqerr.StreamApplication}

	seq, gap := nextSeq(t, c)
	require.Equal(t, uint64(0), seq)
	require.Nil(t, gap)
	g, err := c.NextGroup(testCtx(t))
	require.NoError(t, err, "groups that are here come before the error, without waiting for a missing one")
	require.Equal(t, &moqerr.Gap{First: 1, Last: 1}, g.Gap())
	got, err := readAll(t, g)
	require.Equal(t, []string{"2/0"}, got)
	require.Equal(t, cut, err)
	_, err = c.NextGroup(bg)
	require.Equal(t, cut, err)

	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	_, err = b.Subscribe(bg, "t", SubscribeOptions{})
	require.Equal(t, cut, err, "who comes later hears why")
}

func TestWriteNowAndSingleFrames(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	payload := []byte("one")
	require.NoError(t, tp.WriteFrame(Frame{Timestamp: time.Second, Payload: payload}))
	payload[0] = 'X'
	c := subscribe(t, o, SubscribeOptions{})
	require.NoError(t, tp.WriteNow([]byte("two")))
	g, err := c.NextGroup(bg)
	require.NoError(t, err)
	require.True(t, g.Complete())
	got, err := readAll(t, g)
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, got)
	g, err = c.NextGroup(bg)
	require.NoError(t, err)
	f, err := g.NextFrame(bg)
	require.NoError(t, err)
	require.Less(t, f.Timestamp, 10*time.Second)

	require.ErrorContains(t, tp.WriteFrame(Frame{Timestamp: -1}), "Frame.Timestamp")
	err = tp.WriteFrame(Frame{Payload: make([]byte, maxFrameBytes+1)})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamFrameTooLarge})
}

func TestWriteBeforeAnnounceWarnsOnce(t *testing.T) {
	var log bytes.Buffer
	o := NewOriginWith(OriginOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	b, err := o.CreateBroadcast("quiet")
	require.NoError(t, err)
	tp, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, tp.WriteNow(nil))
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Contains(t, log.String(), "broadcast=quiet track=t")

	log.Reset()
	require.NoError(t, b.Announce())
	b.Unannounce()
	tp, err = b.CreateTrack("u", TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, tp.WriteNow(nil))
	require.Empty(t, log.String(), "it was announced once")
}

// What a peer said of its track is passed on as it is.
func TestAcceptKeepsThePriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := follow(t, o, FollowOptions{})
		_, err := f.NextGroup(expired())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, TrackInfo{Priority: 0, MaxAge: DefaultMaxAge, Timescale: 1000}, accept(t, feed).Info())
		b, err := o.Lookup("b", 0)
		require.NoError(t, err)
		info, err := b.TrackInfo(testCtx(t), "t")
		require.NoError(t, err)
		require.Zero(t, info.Priority)
		require.Equal(t, uint8(DefaultPriority), newTestTrack(t, NewOrigin(), 0).Info().Priority, "made here")
	})
}

package pubsub

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestRouteThatCannotBeSentOn: what is in the table can be announced to the next peer.
func TestRouteThatCannotBeSentOn(t *testing.T) {
	o := NewOriginWith(OriginOptions{Identity: 77})
	for name, c := range map[string]struct {
		hops []uint64
		want error
	}{
		"too large":     {[]uint64{1, maxVarint + 1}, errHopLarge},
		"as large":      {[]uint64{1, maxVarint}, nil},
		"twice":         {[]uint64{1, 2, 1}, errHopTwice},
		"unknown twice": {[]uint64{0, 2, 0}, nil},
		"through here":  {[]uint64{1, 77}, errHopLoop},
		"32":            {make([]uint64, maxHops), nil},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := o.Attach(Route{Prefix: "b", Hops: c.hops})
			if c.want == nil {
				require.NoError(t, err)
				h.Close(nil)
				return
			}
			require.ErrorIs(t, err, c.want)
			var conf *moqerr.ConfigError
			require.ErrorAs(t, err, &conf)
			require.Equal(t, "Route.Hops", conf.Field)
		})
	}
	_, err := o.Attach(Route{Hops: make([]uint64, maxHops+1)})
	require.ErrorContains(t, err, "33 hops")

	h, err := o.Attach(Route{Prefix: "b", Hops: []uint64{5}, Warm: math.MaxUint64, Cold: 7})
	require.NoError(t, err)
	a := o.Announcements("b", 0)
	defer a.Close()
	next, err := a.Next(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, Route{Prefix: "b", Hops: []uint64{5}, Warm: maxVarint, Cold: 7}, next.Route)
	require.ErrorIs(t, h.Update(Route{Prefix: "b", Hops: []uint64{5, 5}}), errHopTwice)
	require.NoError(t, h.Update(Route{Prefix: "b", Hops: []uint64{5}, Cold: maxVarint + 1}))
	for !next.Active || next.Route.Warm != 0 {
		next, err = a.Next(testCtx(t))
		require.NoError(t, err)
	}
	require.Equal(t, uint64(maxVarint), next.Route.Cold)
}

// TestNumbersThatCannotBeSent: sequences and identities stay within what a message holds.
func TestNumbersThatCannotBeSent(t *testing.T) {
	require.Less(t, NewOriginWith(OriginOptions{Identity: maxIdentity}).Identity(), uint64(maxIdentity))
	require.NotZero(t, NewOriginWith(OriginOptions{Identity: math.MaxUint64}).Identity())

	o := NewOriginWith(OriginOptions{FirstSequence: math.MaxUint64})
	tp := newTestTrack(t, o, 0)
	g, err := tp.AppendGroup()
	require.NoError(t, err)
	require.Equal(t, uint64(maxSequence), g.Sequence())
	_, err = tp.AppendGroup()
	var conf *moqerr.ConfigError
	require.ErrorAs(t, err, &conf, "no sequence is left")
	require.NoError(t, tp.Close())
	c := subscribe(t, o, SubscribeOptions{})
	final, known := c.Final()
	require.True(t, known)
	require.Equal(t, uint64(maxVarint), final)

	o = NewOrigin()
	tp = newTestTrack(t, o, 0)
	c = subscribe(t, o, SubscribeOptions{Start: ptr(math.MaxUint64), End: ptr(maxVarint)})
	d := tp.Demand()
	require.Equal(t, uint64(maxSequence), *d.Start)
	require.Equal(t, uint64(maxSequence), *d.End)
	require.Equal(t, uint64(maxSequence), c.Floor())
	require.ErrorIs(t, tp.EndAt(maxVarint+1), streamError(moqerr.StreamMalformed))
	require.NoError(t, tp.EndAt(maxVarint))
	tp.Drop(math.MaxUint64, math.MaxUint64)
	tp.Drop(math.MaxUint64-1, math.MaxUint64)
	require.Empty(t, tp.t.never)
	tp.StartAt(math.MaxUint64)
	require.Equal(t, uint64(maxVarint), c.Floor())
}

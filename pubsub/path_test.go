package pubsub

import (
	"context"
	"strings"
	"testing"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"/", ""},
		{"a", "a"},
		{"/room//cam/", "room/cam"},
		{"a///b/c//", "a/b/c"},
		{strings.Repeat("x/", 32), strings.TrimSuffix(strings.Repeat("x/", 32), "/")},
	} {
		got, err := parsePath("path", c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, got)
	}
	for _, bad := range []string{"a\xff", "a/*/b", "*", "a/b*", strings.Repeat("x/", 33)} {
		_, err := parsePath("path", bad)
		var conf *moqerr.ConfigError
		require.ErrorAs(t, err, &conf, bad)
		require.Equal(t, "path", conf.Field)
	}
}

func TestCutPrefix(t *testing.T) {
	for _, c := range []struct {
		path, prefix, suffix string
		ok                   bool
	}{
		{"foo", "", "foo", true},
		{"", "", "", true},
		{"foo", "foo", "", true},
		{"foo/bar", "foo", "bar", true},
		{"foobar", "foo", "", false},
		{"foo", "foo/bar", "", false},
	} {
		suffix, ok := cutPrefix(c.path, c.prefix)
		require.Equal(t, c.ok, ok, "%q %q", c.path, c.prefix)
		require.Equal(t, c.suffix, suffix)
	}
	require.True(t, isHidden(".stats"))
	require.True(t, isHidden("a/.stats"))
	require.False(t, isHidden("a.b/c."))
}

// Names that would not fit into a message are refused where they come in.
func TestNamesAreBounded(t *testing.T) {
	o := NewOrigin()
	long := strings.Repeat("x", maxName)
	b := announced(t, o, long)
	_, err := b.CreateTrack(long, TrackInfo{})
	require.NoError(t, err)
	c, err := o.Lookup(long, 0)
	require.NoError(t, err)
	_, err = c.Subscribe(testCtx(t), long, SubscribeOptions{})
	require.NoError(t, err)

	feed := o.Feed()
	_, err = feed.Attach(Route{Prefix: "away"})
	require.NoError(t, err)
	away, err := o.Lookup("away/b", 0)
	require.NoError(t, err)

	refused := func(field string, err error) {
		t.Helper()
		var conf *moqerr.ConfigError
		require.ErrorAs(t, err, &conf)
		require.Equal(t, field, conf.Field)
	}
	_, err = o.CreateBroadcast(long + "x")
	refused("path", err)
	_, err = o.Lookup("a/"+long, 0)
	refused("path", err)
	_, err = o.Attach(Route{Prefix: long + "x"})
	refused("Route.Prefix", err)
	follow := func(path, track string) error {
		f := o.Follow(path, track, FollowOptions{})
		defer f.Close()
		_, err := f.NextGroup(testCtx(t))
		return err
	}
	refused("path", follow(long+"x", "t"))
	for _, bad := range []string{long + "x", "t\xff"} {
		refused("track", follow("away/b", bad))
		_, err = b.CreateTrack(bad, TrackInfo{})
		refused("track", err)
		for _, c := range []*BroadcastConsumer{c, away} {
			_, err = c.Subscribe(testCtx(t), bad, SubscribeOptions{})
			refused("track", err)
			_, err = c.TrackInfo(testCtx(t), bad)
			refused("track", err)
		}
	}
	_, err = feed.Next(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded, "nothing was asked for")
}

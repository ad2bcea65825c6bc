package pubsub

import (
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

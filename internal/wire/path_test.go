package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCleanPath(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"/", ""},
		{"////", ""},
		{"a", "a"},
		{"/a", "a"},
		{"a/", "a"},
		{"room/cam", "room/cam"},
		{"/room//cam/", "room/cam"},
		{"a///b//c", "a/b/c"},
		{"//é//*//", "é/*"},
		{" / ", " / "},
		{".stats", ".stats"},
		{"a/../b", "a/../b"},
	} {
		require.Equal(t, c.want, CleanPath(c.in), "%q", c.in)
		require.Equal(t, c.want, CleanPath(CleanPath(c.in)), "%q", c.in)
	}
}

func TestCleanPathOfACleanOneAllocatesNothing(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() { CleanPath("room/cam/with/many/parts") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { CleanPath("//room/cam/") }))
}

func TestValidatePath(t *testing.T) {
	deepest := strings.Repeat("a/", 31) + "a"
	for _, p := range []string{"", "/", "room/cam", "//room//cam//", "é", ".stats/x", deepest, "/" + deepest + "/"} {
		require.NoError(t, ValidatePath(p), "%q", p)
	}
	for _, c := range []struct {
		path, field string
		err         error
	}{
		{deepest + "/a", "text", ErrTooLarge},
		{strings.Repeat("/a", 33), "text", ErrTooLarge},
		{"a/\xff", "text", ErrUTF8},
		{"*", "segment", ErrPattern},
		{"room/c*m", "segment", ErrPattern},
		{"room/**", "segment", ErrPattern},
	} {
		require.Equal(t, &Error{Message: "path", Field: c.field, Err: c.err}, ValidatePath(c.path), "%q", c.path)
	}
}

func TestJoinPath(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"", "", ""},
		{"a", "", "a"},
		{"", "a", "a"},
		{"a", "b", "a/b"},
		{"a/b", "c/d", "a/b/c/d"},
		{"/a/", "/b/", "a/b"},
		{"/", "/", ""},
		{"a//b", "c//d", "a/b/c/d"},
	} {
		require.Equal(t, c.want, JoinPath(c.a, c.b), "%q and %q", c.a, c.b)
	}
}

func TestCutPrefix(t *testing.T) {
	for _, c := range []struct {
		path, prefix, suffix string
		ok                   bool
	}{
		{"", "", "", true},
		{"foo", "", "foo", true},
		{"foo", "foo", "", true},
		{"foo/bar", "foo", "bar", true},
		{"foo/bar/baz", "foo/bar", "baz", true},
		{"foo/bar", "foo/", "bar", true},
		{"/foo//bar", "/foo", "bar", true},
		{"foobar", "foo", "", false},
		{"foo", "foo/bar", "", false},
		{"foo", "bar", "", false},
		{"", "foo", "", false},
		{"foo/barbaz", "foo/bar", "", false},
	} {
		suffix, ok := CutPrefix(c.path, c.prefix)
		require.Equal(t, c.ok, ok, "%q below %q", c.path, c.prefix)
		require.Equal(t, c.suffix, suffix, "%q below %q", c.path, c.prefix)
	}
}

// A path of nothing but slashes, or of very many parts, costs no more than itself.
func TestPathOfManyPartsCostsLittle(t *testing.T) {
	for _, p := range []string{strings.Repeat("/", 60<<10), strings.Repeat("a/", 30<<10), "a" + strings.Repeat("/", 60<<10) + "b"} {
		body := AppendVarint(nil, uint64(len(p)))
		body = append(body, p...)
		got := allocated(func() func() { return func() { _, _ = ParseAnnounceRequest(body, Lite06) } })
		require.LessOrEqual(t, got, uint64(64<<10+2*len(body)))
	}
}

package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLongAnnouncementsAreSkipped: a start over the limit is dropped where it arrives,
// keeps its number, and costs no memory; what follows is read as ever.
func TestLongAnnouncementsAreSkipped(t *testing.T) {
	long := strings.Repeat("x", 10*MaxMessage)
	for _, v := range Versions() {
		b := Announce{Kind: AnnounceStart, Suffix: long}.Append(nil, v)
		b = Announce{Kind: AnnounceStart, Suffix: "good"}.Append(b, v)
		r := NewReader(bytes.NewReader(b))
		m, err := ReadAnnounce(r, v)
		require.NoError(t, err)
		if v.AnnounceIDs() {
			require.Equal(t, AnnounceLong, m.Kind)
		} else {
			require.Equal(t, AnnounceUnknown, m.Kind)
		}
		require.Empty(t, m.Suffix)
		m, err = ReadAnnounce(r, v)
		require.NoError(t, err)
		require.Equal(t, "good", m.Suffix)
		_, err = ReadAnnounce(r, v)
		require.Equal(t, io.EOF, err)

		got := allocated(func() func() {
			src := bytes.NewReader(b)
			return func() { _, _ = ReadAnnounce(NewReader(src), v) }
		})
		require.Less(t, got, uint64(64<<10))
		for _, n := range []int{100, MaxMessage, 5 * MaxMessage} {
			_, err := ReadAnnounce(NewReader(bytes.NewReader(b[:n])), v)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
		}
	}
}

func TestTooLongAnnouncements(t *testing.T) {
	for _, v := range Versions() {
		var b []byte
		if v.AnnounceIDs() {
			b = append(b, byte(AnnounceStart))
		}
		_, err := ReadAnnounce(NewReader(bytes.NewReader(AppendVarint(b, maxLongAnnounce+1))), v)
		require.ErrorIs(t, err, ErrTooLarge)
	}
	// Of an end and an update nothing can be that long.
	for _, kind := range []AnnounceKind{AnnounceEnd, AnnounceUpdate} {
		b := AppendVarint([]byte{byte(kind)}, 2*MaxMessage)
		_, err := ReadAnnounce(NewReader(bytes.NewReader(append(b, make([]byte, 2*MaxMessage)...))), Lite06)
		require.ErrorIs(t, err, ErrTooLarge, kind)
	}
	b := AppendVarint([]byte{9}, 2*MaxMessage)
	m, err := ReadAnnounce(NewReader(bytes.NewReader(append(b, make([]byte, 2*MaxMessage)...))), Lite06)
	require.NoError(t, err)
	require.Equal(t, AnnounceUnknown, m.Kind)
}

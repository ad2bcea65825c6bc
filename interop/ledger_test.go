//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// payload makes the content of a frame: "<group> <frame> <sha256 of the padding> <padding>".
func payload(group uint64, frame, size int) []byte {
	return fmt.Appendf(nil, "%d %s", group, body(frame, size))
}

// body is a payload without its group.
func body(frame, size int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	padding := make([]byte, size)
	for i := range padding {
		padding[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return fmt.Sprintf("%d %x %s", frame, sha256.Sum256(padding), padding)
}

// spot names one frame of a track.
type spot struct {
	group uint64
	frame int
}

// Ledger checks the frames of one track as a reader gets them, whatever peer wrote them.
type Ledger struct {
	mu    sync.Mutex
	seen  map[spot]time.Time
	last  map[uint64]int // newest frame of each group
	fault error          // the first
}

// Add takes one frame as it was delivered: in which group, and there as number
// index; -1 if the reader cannot tell.
func (l *Ledger) Add(group uint64, index int, content []byte) error {
	at, err := parse(content)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen, l.last = make(map[spot]time.Time), make(map[uint64]int)
	}
	last, begun := l.last[at.group]
	_, twice := l.seen[at]
	switch {
	case err != nil:
		err = fmt.Errorf("group %d, frame %d: %w", group, index, err)
	case at.group != group:
		err = fmt.Errorf("frame %d of group %d was delivered in group %d", at.frame, at.group, group)
	case index >= 0 && at.frame != index:
		err = fmt.Errorf("frame %d of group %d was delivered as number %d", at.frame, group, index)
	case twice:
		err = fmt.Errorf("frame %d of group %d was delivered twice", at.frame, group)
	case begun && at.frame < last:
		err = fmt.Errorf("frame %d of group %d was delivered after frame %d", at.frame, group, last)
	}
	if err != nil {
		if l.fault == nil {
			l.fault = err
		}
		return err
	}
	l.seen[at], l.last[at.group] = time.Now(), at.frame
	return nil
}

// AddLine takes a frame whose group only its content tells.
func (l *Ledger) AddLine(line string) error {
	at, _ := parse([]byte(line)) // Add reports what is wrong with it
	return l.Add(at.group, -1, []byte(line))
}

func parse(content []byte) (spot, error) {
	parts := bytes.SplitN(content, []byte(" "), 4)
	if len(parts) != 4 {
		return spot{}, fmt.Errorf("malformed content %.40q", content)
	}
	group, err := strconv.ParseUint(string(parts[0]), 10, 64)
	if err != nil {
		return spot{}, fmt.Errorf("malformed group: %w", err)
	}
	frame, err := strconv.Atoi(string(parts[1]))
	if err != nil {
		return spot{}, fmt.Errorf("malformed frame: %w", err)
	}
	sum := sha256.Sum256(parts[3])
	if got := hex.EncodeToString(sum[:]); got != string(parts[2]) {
		return spot{}, fmt.Errorf("group %d, frame %d: content has SHA-256 %s, was sent with %s", group, frame, got, parts[2])
	}
	return spot{group, frame}, nil
}

// Len returns the number of frames.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// Has reports whether a frame was delivered.
func (l *Ledger) Has(at spot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.seen[at]
	return ok
}

// Newest returns the frame with the highest number in the group with the highest.
func (l *Ledger) Newest() spot {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest spot
	for group, frame := range l.last {
		if group >= newest.group {
			newest = spot{group, frame}
		}
	}
	return newest
}

// First returns the lowest group.
func (l *Ledger) First() (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, ok := uint64(0), false
	for group := range l.last {
		if !ok || group < first {
			first, ok = group, true
		}
	}
	return first, ok
}

// Last returns the highest group.
func (l *Ledger) Last() (uint64, bool) {
	_, begun := l.First()
	return l.Newest().group, begun
}

// Complete reports what is wrong with the frames as a whole: they must be the
// numbers from to frames-1 of each group first to last, and no others.
func (l *Ledger) Complete(first, last uint64, from, frames int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	for group := first; group <= last; group++ {
		for frame := from; frame < frames; frame++ {
			if _, ok := l.seen[spot{group, frame}]; !ok {
				return fmt.Errorf("frame %d of group %d is missing", frame, group)
			}
		}
	}
	if want := int(last-first+1) * (frames - from); len(l.seen) != want {
		return fmt.Errorf("%d frames instead of %d", len(l.seen), want)
	}
	return nil
}

// Hole returns the longest time between two frames.
func (l *Ledger) Hole() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	times := make([]time.Time, 0, len(l.seen))
	for _, at := range l.seen {
		times = append(times, at)
	}
	return longest(times)
}

// HoleSince returns the longest time without a frame from the last one before an instant
// until now.
func (l *Ledger) HoleSince(from time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	times := []time.Time{time.Now()}
	var before time.Time
	for _, at := range l.seen {
		if at.After(from) {
			times = append(times, at)
		} else if at.After(before) {
			before = at
		}
	}
	return longest(append(times, before))
}

func longest(times []time.Time) time.Duration {
	slices.SortFunc(times, time.Time.Compare)
	var hole time.Duration
	for i := 1; i < len(times); i++ {
		hole = max(hole, times[i].Sub(times[i-1]))
	}
	return hole
}

func TestHoleSince(t *testing.T) {
	now := time.Now()
	l := &Ledger{seen: make(map[spot]time.Time)}
	for i, ago := range []time.Duration{30, 10, 9, 4, 3} {
		l.seen[spot{frame: i}] = now.Add(-ago * time.Second)
	}
	require.Equal(t, 20*time.Second, l.HoleSince(now.Add(-11*time.Second)), "the last frame before it counts")
	require.Equal(t, 5*time.Second, l.HoleSince(now.Add(-8*time.Second)), "it falls into the hole")
	require.GreaterOrEqual(t, l.HoleSince(now), 3*time.Second, "up to now")
}

func filled(t *testing.T, contents ...[]byte) *Ledger {
	t.Helper()
	l := new(Ledger)
	for i, c := range contents {
		require.NoError(t, l.Add(7, i, c))
	}
	return l
}

// The negative control: the checker sees each way in which frames can go wrong.
func TestLedgerSeesEveryFault(t *testing.T) {
	a, b, c := payload(7, 0, 40), payload(7, 1, 40), payload(7, 2, 40)
	require.NoError(t, filled(t, a, b, c).Complete(7, 7, 0, 3))

	altered := bytes.Clone(b)
	altered[len(altered)-1] ^= 1
	for name, test := range map[string]struct {
		index   int
		group   uint64
		content []byte
		says    string
	}{
		"altered":     {1, 7, altered, "SHA-256"},
		"truncated":   {1, 7, b[:len(b)-1], "SHA-256"},
		"empty":       {1, 7, nil, "malformed"},
		"no number":   {1, 7, []byte("x y z w"), "malformed group"},
		"skipped":     {1, 7, c, "delivered as number 1"},
		"twice":       {-1, 7, a, "twice"},
		"other group": {1, 8, b, "delivered in group 8"},
	} {
		t.Run(name, func(t *testing.T) {
			l := filled(t, a)
			require.ErrorContains(t, l.Add(test.group, test.index, test.content), test.says)
			require.ErrorContains(t, l.Complete(7, 7, 0, 1), test.says, "the fault was forgotten")
		})
	}
	t.Run("backwards", func(t *testing.T) {
		l := filled(t, a)
		require.NoError(t, l.Add(7, -1, c))
		require.ErrorContains(t, l.Add(7, -1, b), "after frame 2")
	})
	t.Run("dropped at the end", func(t *testing.T) {
		require.ErrorContains(t, filled(t, a, b).Complete(7, 7, 0, 3), "frame 2 of group 7 is missing")
	})
	t.Run("dropped group", func(t *testing.T) {
		require.ErrorContains(t, filled(t, a, b, c).Complete(7, 8, 0, 3), "frame 0 of group 8 is missing")
	})
	t.Run("too many", func(t *testing.T) {
		require.ErrorContains(t, filled(t, a, b, c).Complete(7, 7, 0, 2), "3 frames instead of 2")
	})
	t.Run("altered line", func(t *testing.T) {
		require.ErrorContains(t, new(Ledger).AddLine(string(altered)), "SHA-256")
		require.ErrorContains(t, new(Ledger).AddLine(strings.Repeat(" ", 3)), "malformed")
	})
}

package schedule_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/pubsub"
)

// TestSchedules plays seeded schedules. MOQ_SCHEDULES says how many, MOQ_SEED which one.
//
// A seed fixes the schedule and, for each flow, what chance does to its packets. It does not
// fix the jitter of supervisors and Followers, the keys, nor the order of what happens at one
// moment. So a seed plays much the same each time, and TestReplay sees the same verdicts;
// what needs two things to happen at the same moment may take a few runs to show again.
func TestSchedules(t *testing.T) {
	first, count := uint64(0), envInt(t, "MOQ_SCHEDULES", number)
	if os.Getenv("MOQ_SEED") != "" {
		first, count = envInt(t, "MOQ_SEED", 0), 1
	}
	var sum sum
	shards := uint64(runtime.GOMAXPROCS(0))
	t.Run("all", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(int(shard)), func(t *testing.T) {
				t.Parallel()
				for seed := first + shard; seed < first+count; seed += shards {
					s := expand(seed)
					v := s.perform(t)
					if len(v.wrong) > 0 || count == 1 {
						t.Logf("%v\n%sagain: %s", s, v.told(), s.again())
					}
					for _, wrong := range v.wrong {
						t.Errorf("seed %d: %s", seed, wrong)
					}
					sum.add(s, v)
				}
			})
		}
	})
	t.Log(sum.String())
	if count >= 500 {
		for k, n := range sum.faults {
			require.NotZero(t, n, "%v never happened", kind(k))
		}
	}
}

// TestReplay: a schedule has the same verdict each time. What is overlooked by its readers
// on purpose is found in each of them.
func TestReplay(t *testing.T) {
	same, count := 0, 0
	for seed := uint64(0); count < replays; seed++ {
		s := expand(seed)
		live := func(f follow) bool { return f.resume == pubsub.ResumeLive }
		if !s.lossless() || slices.ContainsFunc(s.readers, live) { // what is lost may be chance
			continue
		}
		count++
		first, second := s.play(t, nil), s.play(t, nil)
		require.Empty(t, first.wrong, s.again())
		require.Equal(t, first.wrong, second.wrong, s.again())
		if slices.EqualFunc(first.story, second.story, func(a, b line) bool { return a.text == b.text }) {
			same++
		}

		group := uint64(2 * s.rate / s.frames)
		skip := func(p position) bool { return p == position{1, group, s.frames - 1} }
		first, second = s.play(t, skip), s.play(t, skip)
		require.NotEmpty(t, first.wrong, s.again())
		require.Equal(t, first.wrong, second.wrong, s.again())
	}
	t.Logf("%d of %d schedules had the same events", same, count)
}

// again is the command that plays a schedule once more.
func (s schedule) again() string {
	return fmt.Sprintf("MOQ_SEED=%d go test -run 'TestSchedules$' -v ./internal/schedule", s.seed)
}

// perform is play that says which schedule it is if that panics, as a bubble with goroutines
// that are left does, or does not come to an end.
func (s schedule) perform(t *testing.T) verdict {
	alarm := time.AfterFunc(2*time.Minute, func() {
		fmt.Fprintf(os.Stderr, "this takes long: %v\nagain: %s\n", s, s.again())
	})
	defer alarm.Stop()
	whole := false
	defer func() {
		if !whole {
			fmt.Fprintf(os.Stderr, "%v\nagain: %s\n", s, s.again())
		}
	}()
	v := s.play(t, nil)
	whole = true
	return v
}

// told is the story, a line for each event.
func (v verdict) told() string {
	var b strings.Builder
	for _, l := range v.story {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

// sum is what many schedules came to.
type sum struct {
	mu        sync.Mutex
	schedules int
	faults    [kinds]int
	verdict
	share float64 // the longest time that sessions were missing, of what is allowed
	worst uint64  // its seed
}

func (m *sum) add(s schedule, v verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schedules++
	for _, lane := range s.lanes {
		for _, f := range lane {
			m.faults[f.kind]++
		}
	}
	m.sessions += v.sessions
	m.losses += v.losses
	m.frames += v.frames
	m.gaps += v.gaps
	m.recovered = max(m.recovered, v.recovered)
	m.delivered = max(m.delivered, v.delivered)
	if share := float64(v.recovered) / float64(s.within()); share > m.share {
		m.share, m.worst = share, s.seed
	}
}

func (m *sum) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d sessions, %d of them lost, %d frames delivered, %d gaps; sessions back after %v at most (%.0f%% of what is allowed, seed %d), something new after %v",
		m.schedules, m.sessions, m.losses, m.frames, m.gaps, m.recovered, 100*m.share, m.worst, m.delivered)
	for k, n := range m.faults {
		fmt.Fprintf(&b, "\n%6d %v", n, kind(k))
	}
	return b.String()
}

func envInt(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

package moq

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// logged runs a supervisor to its end and returns what it logged.
func logged(t *testing.T, p *peer, b Backoff) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	s := startWith(t.Context(), t, supervision[*fakeSession]{
		dial: p.dial, backoff: b, endpoint: "https://relay:443",
		logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	<-s.closed
	var records []map[string]any
	for d := json.NewDecoder(&out); d.More(); {
		var r map[string]any
		require.NoError(t, d.Decode(&r))
		records = append(records, r)
	}
	return records
}

func TestSupervisorLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: playing(
			outcome{-1, errDown}, outcome{-1, errDown}, outcome{-1, errDown},
			outcome{0, io.EOF}, outcome{time.Hour, io.EOF}, // only the first of the two is news
			outcome{time.Hour, io.EOF}, outcome{-1, &StatusError{Status: 401}},
		)}
		type line struct {
			level, message string
			attempt        int
			err            string
		}
		var got []line
		records := logged(t, p, Backoff{})
		for _, r := range records {
			require.Equal(t, "https://relay:443", r["endpoint"])
			require.Contains(t, r, "generation")
			require.Contains(t, r, "down")
			err, _ := r["err"].(string)
			got = append(got, line{r["level"].(string), r["msg"].(string), int(r["attempt"].(float64)), err})
			require.Equal(t, r["msg"] == "not connected", r["next"] != nil)
		}
		const down, lost = "nobody there", "EOF"
		require.Equal(t, []line{
			{"WARN", "not connected", 1, down},
			{"DEBUG", "not connected", 2, down},
			{"DEBUG", "not connected", 3, down},
			{"INFO", "connected", 3, ""},
			{"DEBUG", "not connected", 4, lost},
			{"DEBUG", "connected", 4, ""},
			{"WARN", "not connected", 1, lost},
			{"INFO", "connected", 1, ""},
			{"WARN", "not connected", 1, lost},
			{"ERROR", "stopped", 2, records[9]["err"].(string)},
		}, got)
		require.Contains(t, got[9].err, "401")

		recovery := records[7]
		require.Equal(t, float64(2), recovery["generation"].(float64)-1)
		require.Equal(t, records[6]["next"], recovery["down"], "the outage was that one wait")
	})
}

// A long wait is news again once a minute, for who hears it. For nobody the supervisor is
// not woken.
func TestSupervisorReminds(t *testing.T) {
	for level, reminders := range map[slog.Level]int{slog.LevelWarn: 5, slog.LevelError: 0} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			s := startWith(t.Context(), t, supervision[*fakeSession]{
				dial:    (&peer{answer: playing(outcome{-1, errDown})}).dial,
				backoff: Backoff{Initial: time.Hour, Max: time.Hour},
				logger:  slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})),
			})
			time.Sleep(5*time.Minute + time.Second)
			synctest.Wait()
			require.Equal(t, reminders, strings.Count(out.String(), "still not connected"))
			require.Equal(t, reminders == 0, s.remindAt.IsZero())
			s.close()
		})
	}
}

func TestSupervisorLogsFirstConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := logged(t, &peer{answer: playing(outcome{time.Hour, &StatusError{Status: 401}})}, Backoff{})
		require.Len(t, records, 2)
		require.Equal(t, "INFO", records[0]["level"])
		require.Equal(t, float64(0), records[0]["down"])
		require.Equal(t, "ERROR", records[1]["level"])
	})
}

// A long outage is news again once a minute, and the recovery is.
func TestSupervisorRemindsOfALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := logged(t, &peer{answer: down}, Backoff{Timeout: time.Hour - time.Second})
		var reminders []time.Duration
		for _, r := range records {
			if r["msg"] == "still not connected" {
				require.Equal(t, "WARN", r["level"])
				require.Contains(t, r, "next")
				reminders = append(reminders, time.Duration(r["down"].(float64)))
			}
		}
		require.Len(t, reminders, 59)
		for i, at := range reminders {
			require.Equal(t, time.Duration(i+1)*time.Minute, at)
		}
	})
}

// The end of a silence is news, with its length. A session that is replaced while it serves
// is not.
func TestSupervisorLogsTheEndOfASilence(t *testing.T) {
	var out bytes.Buffer
	with := supervision[*fakeSession]{logger: slog.New(slog.NewTextHandler(&out, nil))}
	onStage(t, with, func(t *testing.T, g *stage) {
		old := g.lead(Connected)
		require.Contains(t, out.String(), "level=INFO msg=connected")
		out.Reset()
		g.feel(old, silent)
		time.Sleep(300 * time.Millisecond)
		g.give(newFake())
		require.Contains(t, out.String(), "level=INFO msg=connected")
		require.Contains(t, out.String(), "down=300ms")
		out.Reset()
		time.Sleep(time.Minute)
		answer := g.asking(t.Context())
		g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.Empty(t, out.String())
	})
}

// TestRemindsAfterAFlap: a peer that accepts and drops once does not silence the reminders.
func TestRemindsAfterAFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := startWith(t.Context(), t, supervision[*fakeSession]{
			dial:   (&peer{answer: playing(outcome{-1, errDown}, outcome{0, io.EOF})}).dial,
			logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})),
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, Waiting, s.board.read().state.Phase)
		s.close()
		require.Greater(t, strings.Count(out.String(), "still not connected"), 50, out.String())
	})
}

// TestWarnsAfterAYoungSilence: an outage is news although its first failures were beside a session.
func TestWarnsAfterAYoungSilence(t *testing.T) {
	var out bytes.Buffer
	with := supervision[*fakeSession]{logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})), backoff: Backoff{StableAfter: time.Minute}}
	onStage(t, with, func(t *testing.T, g *stage) {
		s := g.give(newFake())
		time.Sleep(time.Second)
		g.feel(s, silent)
		time.Sleep(2 * time.Second) // the wait is over
		require.Equal(t, 2, g.attempts())
		g.fail(errDown)
		g.feel(s, dead)
		require.Equal(t, Waiting, g.now().Phase)
		for range 20 {
			time.Sleep(time.Minute)
			g.fail(errDown)
		}
		require.Contains(t, out.String(), "level=WARN")
	})
}

// TestHailsAfterAPause: the first session after a pause is news.
func TestHailsAfterAPause(t *testing.T) {
	var out bytes.Buffer
	with := supervision[*fakeSession]{logger: slog.New(slog.NewTextHandler(&out, nil))}
	onStage(t, with, func(t *testing.T, g *stage) {
		g.give(newFake())
		require.Contains(t, out.String(), "level=INFO msg=connected")
		out.Reset()
		time.Sleep(500 * time.Millisecond) // not stable yet
		g.setPause(true)
		time.Sleep(time.Hour)
		g.setPause(false)
		g.give(newFake())
		require.Equal(t, Connected, g.now().Phase)
		require.Contains(t, out.String(), "level=INFO msg=connected")
	})
}

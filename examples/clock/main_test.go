package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
)

// asProgram makes the test binary be the program.
const asProgram = "CLOCK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const timeout = 20 * time.Second

var tickLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)

// ticks returns the times in a program's output, which must each be a second after
// the one before unless a line tells of a loss.
func ticks(t *testing.T, output string) []time.Time {
	t.Helper()
	var all []time.Time
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if !tickLine.MatchString(line) {
			require.True(t, strings.HasPrefix(line, "-- "), "%q", line)
			continue
		}
		at, err := time.Parse(time.DateTime, line)
		require.NoError(t, err)
		if n := len(all); n > 0 {
			require.True(t, at.After(all[n-1]), "%s is out of order", line)
			if !strings.Contains(output, "-- lost") {
				require.Equal(t, time.Second, at.Sub(all[n-1]), "before %s", line)
			}
		}
		all = append(all, at)
	}
	return all
}

func TestDemonstration(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	in, out := io.Pipe()
	var logs bytes.Buffer
	o, err := parse([]string{"-backoff-initial", "50ms"}, out, &logs)
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, o.up)
	o.up, o.down = 1200*time.Millisecond, 300*time.Millisecond
	ended := make(chan error, 1)
	go func() {
		ended <- o.do(o, ctx)
		_ = out.Close()
	}()

	var output strings.Builder
	want := map[string]bool{"publisher: back": true, "subscriber: back": true}
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		output.WriteString(scanner.Text() + "\n")
		if len(want) == 0 && tickLine.MatchString(scanner.Text()) {
			cancel() // time has gone on after both were back
		}
		for what := range want {
			if strings.Contains(scanner.Text(), what) {
				delete(want, what)
			}
		}
	}
	require.NoError(t, <-ended)
	t.Log("\n" + output.String())
	require.Empty(t, want)
	require.GreaterOrEqual(t, len(ticks(t, output.String())), 2)
	for _, line := range []string{
		`relay: up on 127\.0\.0\.1:\d+; .*Ctrl-C ends`,
		`publisher: connected`,
		`subscriber: connected`,
		`relay: down for 300ms`,
		`relay: up again`,
		`publisher: connection lost: .*relay closed.*`,
		`subscriber: connection lost: .*relay closed.*`,
		`publisher: back after \d.*s, connection 2`,
		`subscriber: back after \d.*s, connection 2`,
	} {
		require.Regexp(t, `(?m)^-- `+line+`$`, output.String())
	}
	require.Empty(t, logs.String())
}

// newRelay returns the host and port of a relay, and its fingerprint.
func newRelay(t *testing.T, conf relay.Config) (host, fingerprint string) {
	t.Helper()
	up, err := relay.New(conf)
	require.NoError(t, err)
	stop := web.Enable(up)
	addr, err := up.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, up.Close())
		require.NoError(t, stop())
	})
	return addr.String(), up.Fingerprint()
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	host, fingerprint := newRelay(t, relay.Config{})
	for _, way := range []struct{ publish, subscribe []string }{
		{
			[]string{"publish", "-url", "https://" + host + "/anon", "-fingerprint", fingerprint},
			[]string{"-url", "moqt://" + host, "-broadcast", "anon/clock", "-insecure", "subscribe"},
		},
		{
			[]string{"-url", "moqt://" + host + "/x", "-insecure", "publish", "-track", "t", "-version", "moq-lite-05"},
			[]string{"-url", "https://" + host + "/x/", "-fingerprint", fingerprint, "-track", "t", "subscribe"},
		},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			ended := make(chan error, 2)
			var logs lines
			logs.w = &bytes.Buffer{}
			go func() { ended <- run(ctx, way.publish, io.Discard, &logs) }()
			in, out := io.Pipe()
			go func() {
				defer out.Close()
				ended <- run(ctx, way.subscribe, out, &logs)
			}()
			scanner := bufio.NewScanner(in)
			var output strings.Builder
			for range 3 {
				require.True(t, scanner.Scan(), "%v", scanner.Err())
				output.WriteString(scanner.Text() + "\n")
			}
			require.Len(t, ticks(t, output.String()), 3)
			cancel() // as Ctrl-C does
			_, err := io.Copy(io.Discard, in)
			require.NoError(t, err)
			require.NoError(t, <-ended)
			require.NoError(t, <-ended)
			require.Contains(t, logs.w.(*bytes.Buffer).String(), `level=INFO msg=connected`)
		})
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	host, _ := newRelay(t, relay.Config{})
	for _, verb := range []string{"publish", "subscribe"} {
		began := time.Now()
		require.NoError(t, run(t.Context(), []string{"-for", "200ms", "-insecure", "-url", "https://" + host, verb}, io.Discard, io.Discard))
		require.Less(t, time.Since(began), timeout)
		require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	}
}

// Who is refused does not go on trying.
func TestRefused(t *testing.T) {
	t.Parallel()
	host, _ := newRelay(t, relay.Config{Admit: func(string) error { return errors.New("who are you?") }})
	for _, verb := range []string{"publish", "subscribe"} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		var logs bytes.Buffer
		err := run(ctx, []string{"-insecure", "-url", "https://" + host + "/s3cret?jwt=s3cret", verb}, io.Discard, &logs)
		require.ErrorIs(t, err, moq.ErrRefused)
		require.ErrorContains(t, err, "who are you?")
		require.NotContains(t, err.Error()+logs.String(), "s3cret")
	}
}

// Time to give up is an error too.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"publish", "subscribe"} {
		err := run(t.Context(), []string{"-backoff-timeout", "100ms", "-url", "moqt://127.0.0.1:1", verb}, io.Discard, io.Discard)
		require.ErrorIs(t, err, moq.ErrGaveUp)
	}
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := program(ctx)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	for scanner.Scan() && !tickLine.MatchString(scanner.Text()) {
	}
	require.Regexp(t, tickLine, scanner.Text())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	for scanner.Scan() {
		require.NotContains(t, scanner.Text(), "lost", "both sides leave before the relay does")
	}
	require.NoError(t, cmd.Wait(), "%s", complaints.String())
	require.Empty(t, complaints.String())
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	var out, complaints bytes.Buffer
	cmd := program(t.Context(), "-h")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	require.NoError(t, cmd.Run())
	require.Empty(t, complaints.String())
	require.Contains(t, out.String(), "clock -url https://localhost:4443/anon -broadcast clock -insecure subscribe")
	for _, name := range []string{
		"url", "broadcast", "track", "insecure", "fingerprint", "version", "log-level", "for", "backoff-initial", "backoff-timeout",
	} {
		require.Contains(t, out.String(), "  -"+name)
	}

	out.Reset()
	cmd = program(t.Context(), "-nonsense")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	failed, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 1, failed.ExitCode())
	require.Empty(t, out.String())
	require.Equal(t, "clock: flag provided but not defined: -nonsense (clock -h explains the flags)\n", complaints.String())
}

func TestBadArguments(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-for x", `invalid value "x" for flag -for`},
		{"publish", "-url is missing"},
		{"subscribe", "-url is missing"},
		{"dance", `"dance" is neither publish nor subscribe`},
		{"-url https://h dance", `"dance" is neither publish nor subscribe`},
		{"-url https://h", "Say publish or subscribe"},
		{"-url https://h publish subscribe", `"subscribe" is too much`},
		{"-log-level loud", `"loud" is none of debug, info, warn and error`},
		{"-version 7", "Versions"},
		{"-url https://h -fingerprint zz publish", "Fingerprints"},
		{"-url https://h -backoff-max -3s publish", "Backoff.Max"},
		{"-url ftp://u:s3cret@h/s3cret?jwt=s3cret publish", "moq: URL: unknown scheme; want https, moqt or moql"},
		{"-url https://h:70000/s3cret?jwt=s3cret subscribe", "moq: URL: port out of range"},
		{"-url https://h -broadcast a*b publish", "a segment contains '*'"},
		{"-url https://h -broadcast a*b subscribe", "a segment contains '*'"},
	} {
		err := run(t.Context(), strings.Fields(test.args), io.Discard, io.Discard)
		require.ErrorContains(t, err, test.want, test.args)
		require.NotContains(t, err.Error(), "s3cret")
		require.NotContains(t, err.Error(), "attempt", "there was none")
	}
	_, err := parse([]string{"-url", "https://h", "publish", "-for", "3s"}, io.Discard, io.Discard)
	require.NoError(t, err, "flags may follow the verb")
}

package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// many gives a flag and a variable to each field, by the tags of the library.
type many struct {
	Backoff moq.Backoff `embed:"" prefix:"backoff-"`
}

// one takes a policy as a whole.
type one struct {
	Backoff moq.Backoff `help:"Pacing of attempts to connect." env:"MOQ_BACKOFF" default:"eager"`
}

// both is a program with two connections, whose flags must not collide.
type both struct {
	Upstream   moq.Backoff `embed:"" prefix:"upstream-"`
	Downstream moq.Backoff `default:"gentle"`
}

// parse parses args with cli, and returns what --help would print as well.
func parse(t *testing.T, cli any, args ...string) (help string, err error) {
	t.Helper()
	var printed strings.Builder
	parser, err := kong.New(cli, kong.Name("program"), kong.Writers(&printed, &printed), kong.Exit(func(int) {}))
	require.NoError(t, err)
	context, err := parser.Parse(args)
	if err == nil {
		require.NoError(t, context.PrintUsage(false))
	}
	return printed.String(), err
}

func TestKongFlags(t *testing.T) {
	var cli many
	help, err := parse(t, &cli,
		"--backoff-initial=2s", "--backoff-hold=7", "--backoff-multiplier=1.5", "--backoff-max=1m",
		"--backoff-first-timeout=10s", "--backoff-timeout=-1s")
	require.NoError(t, err)
	want := full
	want.StableAfter = 0 // has no flag
	require.Equal(t, want, cli.Backoff)
	requireUsable(t, cli.Backoff)
	for _, text := range []string{
		"--backoff-initial=DURATION", "$MOQ_BACKOFF_INITIAL", "--backoff-hold=INT", "$MOQ_BACKOFF_HOLD",
		"--backoff-multiplier=FLOAT-64", "$MOQ_BACKOFF_MULTIPLIER", "--backoff-max=DURATION", "$MOQ_BACKOFF_MAX",
		"--backoff-first-timeout=DURATION", "$MOQ_BACKOFF_FIRST_TIMEOUT", "--backoff-timeout=DURATION", "$MOQ_BACKOFF_TIMEOUT",
		"First delay between attempts to connect",
	} {
		require.Contains(t, strings.Join(strings.Fields(help), " "), text)
	}
	require.NotContains(t, help, "stable")
	_, err = parse(t, &cli, "--backoff-stable-after=3s")
	require.ErrorContains(t, err, "--backoff-stable-after")
}

func TestKongVariables(t *testing.T) {
	for name, value := range map[string]string{
		"MOQ_BACKOFF_INITIAL": "2s", "MOQ_BACKOFF_HOLD": "7", "MOQ_BACKOFF_MULTIPLIER": "1.5", "MOQ_BACKOFF_MAX": "1m",
		"MOQ_BACKOFF_FIRST_TIMEOUT": "10s", "MOQ_BACKOFF_TIMEOUT": "-1s",
	} {
		t.Setenv(name, value)
	}
	var cli many
	_, err := parse(t, &cli)
	require.NoError(t, err)
	want := full
	want.StableAfter = 0
	require.Equal(t, want, cli.Backoff)

	_, err = parse(t, &cli, "--backoff-hold=2")
	require.NoError(t, err)
	want.Hold = 2
	require.Equal(t, want, cli.Backoff, "a flag beats its variable")

	t.Setenv("MOQ_BACKOFF_MAX", "soon")
	_, err = parse(t, &cli)
	require.ErrorContains(t, err, "MOQ_BACKOFF_MAX")
}

func TestKongFlagsBad(t *testing.T) {
	for flag, value := range map[string]string{
		"--backoff-initial": "2", "--backoff-hold": "seven", "--backoff-multiplier": "two", "--backoff-timeout": "soon",
	} {
		_, err := parse(t, new(many), flag+"="+value)
		require.ErrorContains(t, err, flag)
	}
	// What only the whole can tell is told when the client is made.
	var cli many
	_, err := parse(t, &cli, "--backoff-multiplier=0.5")
	require.NoError(t, err)
	_, err = moq.NewClient(moq.Config{Backoff: cli.Backoff})
	requireBad(t, err, "Backoff.Multiplier")
}

func TestKongText(t *testing.T) {
	for _, test := range []struct {
		args []string
		want moq.Backoff
	}{
		{nil, moq.Eager()},
		{[]string{"--backoff=gentle"}, moq.Gentle()},
		{[]string{"--backoff", "initial=2s,hold=7,multiplier=1.5,max=1m,first_timeout=10s,timeout=-1s,stable_after=3s"}, full},
		{[]string{"--backoff="}, moq.Backoff{}},
	} {
		var cli one
		_, err := parse(t, &cli, test.args...)
		require.NoError(t, err)
		require.Equal(t, test.want, cli.Backoff)
		requireUsable(t, cli.Backoff)
	}
	t.Setenv("MOQ_BACKOFF", "gentle,timeout=1h")
	var cli one
	_, err := parse(t, &cli)
	require.NoError(t, err)
	require.Equal(t, moq.Backoff{Initial: 5 * time.Second, Multiplier: 1, Max: 5 * time.Second, Timeout: time.Hour}, cli.Backoff)
}

func TestKongTextBad(t *testing.T) {
	for value, field := range map[string]string{
		"eagre": "Backoff", "jitter=1": "Backoff", "hold=x": "Backoff.Hold", "initial=2s,max=1s": "Backoff.Max",
	} {
		_, err := parse(t, new(one), "--backoff="+value)
		require.ErrorContains(t, err, "--backoff")
		requireBad(t, err, field)
	}
}

func TestKongTwo(t *testing.T) {
	var cli both
	_, err := parse(t, &cli, "--upstream-hold=2", "--downstream=eager")
	require.NoError(t, err)
	require.Equal(t, both{Upstream: moq.Backoff{Hold: 2}, Downstream: moq.Eager()}, cli)
}

// As the documentation of Backoff says: what stood in the struct is gone.
func TestKongStartsFromZero(t *testing.T) {
	cli := many{Backoff: moq.Eager()}
	_, err := parse(t, &cli, "--backoff-hold=2")
	require.NoError(t, err)
	require.Equal(t, moq.Backoff{Hold: 2}, cli.Backoff)
}

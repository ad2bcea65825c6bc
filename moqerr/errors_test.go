package moqerr

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		refused bool
	}{
		"HTTP 401":                     {&StatusError{Status: 401}, true},
		"HTTP 403":                     {&StatusError{Status: 403}, true},
		"HTTP 404":                     {&StatusError{Status: 404}, false},
		"HTTP 500":                     {&StatusError{Status: 500}, false},
		"close 2":                      {&SessionError{Code: SessionUnauthorized, Remote: true}, true},
		"close 2 by us":                {&SessionError{Code: SessionUnauthorized}, false},
		"close 6 on lite-05":           {&SessionError{Code: SessionParameters, Remote: true, Legacy: true}, true},
		"close 6 on lite-06":           {&SessionError{Code: SessionParameters, Remote: true}, false},
		"close 64 + 401":               {&SessionError{Code: SessionApplication + 401, Remote: true}, true},
		"close 64 + 403":               {&SessionError{Code: SessionApplication + 403, Remote: true}, true},
		"close 64 + 502":               {&SessionError{Code: SessionApplication + 502, Remote: true}, false},
		"close 0":                      {&SessionError{Remote: true}, false},
		"a stop after a refusal":       {&StopError{Reason: ErrRefused}, true},
		"a stop that wraps one":        {&StopError{Reason: ErrStopped, Last: &StatusError{Status: 401}}, true},
		"a stop after the give-up":     {&StopError{Reason: ErrGaveUp, Last: io.EOF}, false},
		"wrapped":                      {fmt.Errorf("dial: %w", &StatusError{Status: 401}), true},
		"a stream that was not found":  {&StreamError{Code: StreamNotFound, Remote: true}, false},
		"a setting that cannot be":     {&ConfigError{Field: "URL", Err: io.EOF}, false},
		"a group that was cut by this": {&GapError{Gap{Cause: &SessionError{Code: 2, Remote: true}}}, true},
	} {
		require.Equal(t, c.refused, errors.Is(c.err, ErrRefused), name)
		require.NotEmpty(t, c.err.Error(), name)
	}
}

func TestStatus(t *testing.T) {
	for code, status := range map[SessionCode]int{
		0: 0, 2: 0, 63: 0, 64: 0, 64 + 99: 0, 64 + 100: 100, 468: 404, 566: 502, 64 + 599: 599, 64 + 600: 0, 1 << 40: 0,
	} {
		require.Equal(t, status, code.Status(), code)
	}
}

func TestCodesHaveNames(t *testing.T) {
	for code, name := range map[fmt.Stringer]string{
		SessionUnauthorized:      "unauthorized",
		SessionGoawayTimeout:     "goaway timeout",
		SessionCode(0x1f):        "code 0x1f",
		SessionApplication + 404: "application code 404",
		StreamOld:                "old",
		StreamUnroutable:         "unroutable",
		StreamCode(0x20):         "code 0x20",
		StreamApplication + 1:    "application code 1",
	} {
		require.Equal(t, name, code.String())
	}
}

func TestStreamErrorsMatchByCode(t *testing.T) {
	err := fmt.Errorf("subscribe: %w", &StreamError{Code: StreamNotFound, Remote: true})
	require.ErrorIs(t, err, &StreamError{Code: StreamNotFound})
	require.NotErrorIs(t, err, &StreamError{Code: StreamOld})
	require.EqualError(t, err, "subscribe: moq: stream reset by peer: not found (0x33)")
}

func TestTexts(t *testing.T) {
	stop := &StopError{
		Reason: ErrGaveUp, First: io.EOF, Last: &StatusError{Status: 503},
		Attempts: 4, Down: 1500 * time.Millisecond,
	}
	require.EqualError(t, stop, "moq: gave up after 4 attempts in 1.5s: moq: server answered with status 503 (first: EOF)")
	require.ErrorIs(t, stop, io.EOF, "the first cause")
	var status *StatusError
	require.ErrorAs(t, stop, &status, "and the last one")
	stop.Last = io.EOF
	require.EqualError(t, stop, "moq: gave up after 4 attempts in 1.5s: EOF", "not told twice")
	require.EqualError(t, &StopError{Reason: ErrStopped}, "moq: stopped after 0 attempts in 0s")

	require.EqualError(t, &SessionError{Code: SessionUnauthorized, Remote: true, Reason: "no"}, `moq: session closed by peer: unauthorized (2): "no"`)
	require.EqualError(t, &SessionError{Code: SessionProtocol}, "moq: session closed by us: protocol violation (3)")

	config := &ConfigError{Field: "Backoff.Max", Err: io.EOF}
	require.EqualError(t, config, "moq: Backoff.Max: EOF")
	require.ErrorIs(t, config, io.EOF)
}

func TestGaps(t *testing.T) {
	require.Equal(t, "lost group 3 from frame 50", Gap{First: 3, FirstFrame: 50, Last: 3}.String())
	require.Equal(t, "lost groups 3 to 9 from frame 0 of the first", Gap{First: 3, Last: 9}.String())
	require.Equal(t, "publisher restarted; the old numbering broke off at group 3 frame 1", Gap{First: 3, FirstFrame: 1, Restarted: true}.String())
	require.EqualError(t, &GapError{Gap{First: 3, Last: 3, Cause: io.EOF}}, "moq: lost group 3 from frame 0: EOF")
	require.EqualError(t, &GapError{Gap{First: 3, Last: 3}}, "moq: lost group 3 from frame 0")
	require.ErrorIs(t, &GapError{Gap{Cause: io.EOF}}, io.EOF)
}

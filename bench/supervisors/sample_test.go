package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every arm comes together and tells something, here all in one process.
func TestSamples(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, out) }()
	defer func() {
		stop()
		require.NoError(t, <-served)
	}()
	line := make([]byte, 256)
	n, err := in.Read(line)
	require.NoError(t, err)
	addr, pin, found := strings.Cut(strings.TrimSpace(string(line[:n])), " ")
	require.True(t, found)

	for name := range arms {
		args, err := json.Marshal(order{Arm: name, N: 3, Window: 10 * time.Millisecond, Addr: addr, Fingerprint: pin})
		require.NoError(t, err)
		var told bytes.Buffer
		require.NoError(t, answer(t.Context(), string(args), &told), name)
		var r reading
		require.NoError(t, json.Unmarshal(told.Bytes(), &r))
		require.Zero(t, r.Lost, name)
		if name == sleeping {
			require.Equal(t, 1.0, r.Goroutines)
		}
	}
	require.Error(t, answer(t.Context(), `{"Arm": "nobody"}`, io.Discard))
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-row", "P12", "-time", "20s"}, io.Discard)
	require.NoError(t, err)
	require.True(t, o.wants("P12"))
	require.False(t, o.wants("P11"))
	require.Equal(t, 20*time.Second, o.time)
	o, err = parse([]string{"-quick"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 2, o.pairs)
	require.True(t, o.wants("P13"))
	for _, args := range [][]string{{"-row", "P1"}, {"-pairs", "0"}, {"-time", "0s"}, {"-connected", "-1"}, {"extra"}, {"-nonsense"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
}

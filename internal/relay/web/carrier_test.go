package web

import (
	"context"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

func TestCarrier(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		require.Equal(t, "moq-lite-06", theirs.Protocol())
		require.Equal(t, transport.CarrierWebTransport, theirs.Carrier())
		require.Equal(t, ours.LocalAddr().String(), theirs.RemoteAddr().String())
		require.Equal(t, ours.RemoteAddr().String(), theirs.LocalAddr().String())
		require.NoError(t, theirs.Err())
		require.Equal(t, rtt, theirs.Stats().MinRTT)
		require.Positive(t, theirs.Stats().PacketsReceived)
	})
}

// Every kind of stream works in both directions.
func TestStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		sent := strings.Repeat("moq", 100_000)
		for _, way := range []struct{ from, to transport.Conn }{{ours, theirs}, {theirs, ours}} {
			out, err := way.from.OpenUniStream(t.Context())
			require.NoError(t, err)
			out.SetPriority(3, true)
			go func() {
				_, _ = io.WriteString(out, sent)
				_ = out.Close()
			}()
			in, err := way.to.AcceptUniStream(t.Context())
			require.NoError(t, err)
			got, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Equal(t, sent, string(got))
			<-out.Context().Done()

			asks, err := way.from.OpenStream(t.Context())
			require.NoError(t, err)
			_, err = asks.Write([]byte("ask"))
			require.NoError(t, err)
			require.NoError(t, asks.Close())
			answers, err := way.to.AcceptStream(t.Context())
			require.NoError(t, err)
			got, err = io.ReadAll(answers)
			require.NoError(t, err)
			_, err = answers.Write(append(got, "ed"...))
			require.NoError(t, err)
			require.NoError(t, answers.Close())
			got, err = io.ReadAll(asks)
			require.NoError(t, err)
			require.Equal(t, "asked", string(got))
		}
	})
}

func TestStreamCodes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		for _, way := range []struct{ from, to transport.Conn }{{ours, theirs}, {theirs, ours}} {
			for code, want := range map[moqerr.StreamCode]moqerr.StreamCode{
				0: 0, 29: 29, 30: 30, moqerr.StreamOld: moqerr.StreamOld, 468: 468,
				math.MaxUint32: math.MaxUint32, 1 << 40: math.MaxUint32, // WebTransport has 32 bits
			} {
				out, err := way.from.OpenUniStream(t.Context())
				require.NoError(t, err)
				_, err = out.Write([]byte("x"))
				require.NoError(t, err)
				in, err := way.to.AcceptUniStream(t.Context())
				require.NoError(t, err)
				out.Reset(code)
				_, err = io.ReadAll(in)
				require.Equal(t, &moqerr.StreamError{Code: want, Remote: true}, err)
				_, err = out.Write([]byte("x"))
				require.Error(t, err)

				out, err = way.from.OpenUniStream(t.Context())
				require.NoError(t, err)
				_, err = out.Write([]byte("x"))
				require.NoError(t, err)
				in, err = way.to.AcceptUniStream(t.Context())
				require.NoError(t, err)
				in.Stop(code)
				<-out.Context().Done()
				_, err = out.Write([]byte("x"))
				require.Equal(t, &moqerr.StreamError{Code: want, Remote: true}, err)
			}
		}
		require.NoError(t, theirs.Err())
	})
}

func TestReadDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		out, err := ours.OpenUniStream(t.Context())
		require.NoError(t, err)
		_, err = out.Write([]byte("x"))
		require.NoError(t, err)
		in, err := theirs.AcceptUniStream(t.Context())
		require.NoError(t, err)
		require.NoError(t, in.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = io.ReadAll(in)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestDatagrams(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		for _, way := range []struct{ from, to transport.Conn }{{ours, theirs}, {theirs, ours}} {
			kept := []byte("hello")
			require.NoError(t, way.from.SendDatagram(make([]byte, 60_000)), "dropped")
			require.NoError(t, way.from.SendDatagram(kept))
			kept[0] = 'x'
			got, err := way.to.ReceiveDatagram(t.Context())
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
		}
		b.net.Dark(true)
		began := time.Now()
		for range 1000 {
			require.NoError(t, theirs.SendDatagram(make([]byte, 1000)))
		}
		require.Zero(t, time.Since(began), "it never waits")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := theirs.ReceiveDatagram(ctx)
		require.Equal(t, context.DeadlineExceeded, err)
		<-theirs.Done()
		_, err = theirs.ReceiveDatagram(t.Context())
		require.Equal(t, theirs.Err(), err)
		require.Equal(t, theirs.Err(), theirs.SendDatagram(nil))
	})
}

// A call's own context ends it, and says so.
func TestCallsEndWithTheirContext(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		_, theirs := b.pair()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(io.ErrNoProgress)
		_, err := theirs.AcceptStream(ctx)
		require.Equal(t, io.ErrNoProgress, err)
		_, err = theirs.AcceptUniStream(ctx)
		require.Equal(t, io.ErrNoProgress, err)
		for { // while there is credit it does not ask
			if _, err = theirs.OpenStream(ctx); err != nil {
				break
			}
		}
		require.Equal(t, io.ErrNoProgress, err)
	})
}

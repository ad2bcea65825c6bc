package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// TestSetupWithoutCredit: a peer that takes no SETUP does not hold up Start beyond its context.
func TestSetupWithoutCredit(t *testing.T) {
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, KeepAlivePeriod: 5 * time.Second,
		InitialStreamReceiveWindow: 500, MaxStreamReceiveWindow: 500,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		near, far := b.conns()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			s, err := Start(ctx, near, Config{Subscribe: pubsub.NewOrigin(), Version: b.version, Path: "/a?jwt=" + strings.Repeat("x", 4000)})
			if s != nil {
				s.Abort(0, "")
			}
			done <- err
		}()
		select {
		case err := <-done:
			require.ErrorIs(t, err, context.DeadlineExceeded)
		case <-time.After(time.Minute):
			_ = far.Close(0, "")
			<-done
			require.Fail(t, "Start outlives its context")
		}
	})
}

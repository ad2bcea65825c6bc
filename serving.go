package moq

import (
	"fmt"
	"os"
	"time"
)

// serving is the live session.
type serving[S liveSession] struct {
	session S
	pulse   pulse
	since   time.Time // when it began to serve, or the one that it took the place of
	renewAt time.Time // when to replace it, before its credential expires; zero: never
	silent  bool
	counted bool // its silence was counted as a failure; its loss is not another one
}

// lived is how long the session has served. What has fallen silent served as long as it
// was heard.
func (l *serving[S]) lived() time.Duration {
	if l.silent {
		return l.pulse.LastPacket().Sub(l.since)
	}
	return time.Since(l.since)
}

// silence is why a session was given up that had nothing to say any more.
func (l *serving[S]) silence() error {
	quiet := time.Since(l.pulse.LastPacket()).Round(time.Millisecond)
	return fmt.Errorf("moq: nothing came from the peer for %v: %w", quiet, os.ErrDeadlineExceeded)
}

func (l *serving[S]) closed() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.session.Closed()
}

// settled reports whether there is a session that is heard. One that is silent has a
// second attempt of its own, so its credential calls for none.
func (l *serving[S]) settled() bool { return l != nil && !l.silent }

func (l *serving[S]) changed() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.pulse.Changed()
}

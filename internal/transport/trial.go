package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// errInVain is why a dial in a hurry is replaced.
var errInVain = errors.New("asked in vain")

// ordinaryPatience is how long QUIC waits for the first answer of an address. Whoever is in a
// hurry does not wait longer, if there is another address.
const ordinaryPatience = 5 * time.Second

// Trial is what is special about one dial. The zero Trial is an ordinary one.
type Trial struct {
	// Heard is called when the first packet comes, on the goroutine that reads. It must
	// not block.
	Heard func()
	// Begin does with the connection what else belongs to the dial, and owns it: it has
	// closed it if it fails. It returns soon after the end of ctx. nil: nothing else does.
	Begin func(ctx context.Context, c Conn) error
	// Patience is for a path that has fallen silent, until HurryUntil: a dial that has
	// asked in vain for this time, or a fifth less, is replaced by one from a new socket.
	// QUIC's own retransmissions come at 0.2, 0.6, 1.4 and 3 s, which is too seldom.
	Patience   time.Duration
	HurryUntil time.Time

	leaveAt time.Time // for the next address; zero: there is none
}

// watch returns a context that ends with errInVain when the dial on the socket of these
// stamps is to be replaced. done ends the watch, and the context.
func (t Trial) watch(ctx context.Context, s *stamps) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	wait, bounded := t.patience()
	if !bounded {
		return ctx, func() { cancel(nil) }
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		switch since, due := s.inVain(); {
		case ctx.Err() != nil:
		case !s.came.Load():
			cancel(errInVain)
		case !time.Now().Before(t.HurryUntil): // it takes its time
		case !due: // the peer knows of all that was said, and may be busy with it
			timer.Reset(t.Patience)
		case time.Since(since) >= t.Patience:
			cancel(errInVain)
		default:
			timer.Reset(time.Until(since.Add(t.Patience)))
		}
	})
	timer.Reset(wait)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// patience is how long a dial that begins now may ask in vain; not bounded: as long as it
// takes.
func (t Trial) patience() (wait time.Duration, bounded bool) {
	if t.Patience <= 0 {
		return 0, false
	}
	if time.Until(t.HurryUntil) >= t.Patience {
		wait, bounded = t.Patience-rand.N(t.Patience/5+1), true
	}
	if !t.leaveAt.IsZero() {
		left := max(time.Until(t.leaveAt), 0)
		if !bounded || left < wait {
			return left, true
		}
	}
	return wait, bounded
}

package pubsub

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// sleeper is one waiting reader: a channel of capacity one, made when it first waits.
type sleeper struct{ ch chan struct{} }

// prepare makes the channel; the caller holds the owner's lock.
func (s *sleeper) prepare() {
	if s.ch == nil {
		s.ch = make(chan struct{}, 1)
	}
}

// ring wakes the sleeper, or makes its next wait return at once.
func (s *sleeper) ring() {
	select {
	case s.ch <- struct{}{}:
	default:
	}
}

// wait returns nil when rung or when timer fires, else ctx's error. A wake-up may be
// spurious: look again.
func (s *sleeper) wait(ctx context.Context, timer <-chan time.Time) error {
	select {
	case <-s.ch:
		return nil
	case <-timer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bell holds those who sleep until something changes. Only sleepers are in it, so that
// a change that nobody waits for costs nothing. A writer takes all of them under its
// lock and rings them after it; the list itself is used again.
type bell struct {
	asleep *sleepers                // guarded by the owner's lock
	spare  atomic.Pointer[sleepers] // free to take
}

type sleepers struct{ list []*sleeper }

// add puts s to sleep; the caller holds the lock and waits after letting it go.
func (b *bell) add(s *sleeper) {
	s.prepare()
	if b.asleep == nil {
		if b.asleep = b.spare.Swap(nil); b.asleep == nil {
			b.asleep = new(sleepers)
		}
	}
	b.asleep.list = append(b.asleep.list, s)
}

// remove takes s out; the caller holds the lock.
func (b *bell) remove(s *sleeper) {
	if b.asleep != nil {
		b.asleep.list = slices.DeleteFunc(b.asleep.list, func(x *sleeper) bool { return x == s })
	}
}

// take empties the bell; the caller holds the lock and gives the result to ring
// without it.
func (b *bell) take() *sleepers {
	s := b.asleep
	b.asleep = nil
	return s
}

// ring wakes what take returned.
func (b *bell) ring(s *sleepers) {
	if s == nil {
		return
	}
	for _, one := range s.list {
		one.ring()
	}
	clear(s.list)
	s.list = s.list[:0]
	b.spare.Store(s)
}

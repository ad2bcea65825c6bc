package main

import (
	"context"
	"sync"
)

// clients are a publisher and a subscriber, which only meet at a relay. What the
// publisher writes comes to a timeline: 100 numbered frames a second, 100 in a group.
type clients interface {
	// generations is how many sessions each has had.
	generations() [2]uint64
	// states tells people what each is doing.
	states() string
	// exactly reports whether a frame may come once only.
	exactly() bool
	// ended is closed when one of them is of no use any more, and err tells why.
	ended() <-chan struct{}
	err() error
	// close ends both and waits for all that was started.
	close()
}

// names are those of an arm's clients, in the order of generations.
var names = [2]string{"publisher", "subscriber"}

// life is the part of clients that has to do with how they end.
type life struct {
	ctx    context.Context // ends with stop
	stop   context.CancelFunc
	health context.Context // ends with the first pump, whose error is the cause
	fail   context.CancelCauseFunc
	pumps  *sync.WaitGroup
}

func begin() life {
	l := life{pumps: new(sync.WaitGroup)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.health, l.fail = context.WithCancelCause(l.ctx)
	return l
}

// pump runs f, which is to go on until its context ends.
func (l life) pump(f func(ctx context.Context) error) {
	l.pumps.Go(func() { l.fail(f(l.ctx)) })
}

func (l life) ended() <-chan struct{} { return l.health.Done() }

func (l life) err() error { return context.Cause(l.health) }

func (l life) wait() { l.pumps.Wait() }

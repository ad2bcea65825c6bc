package main

import (
	"context"
	"fmt"
	"sync/atomic"
)

// tally is what an arm's receiver has seen, and what its sender waits for.
type tally struct {
	ctx   context.Context // the arm's; its cause is the first error
	abort context.CancelCauseFunc

	batch  int64
	tokens chan struct{} // one for each batch of groups that is under way
	single chan struct{} // if not nil, one for each frame

	groups atomic.Int64
	sum    atomic.Uint64 // of the groups' sequences: a group that came twice shows
}

func newTally(ctx context.Context, l load, single bool) *tally {
	t := &tally{batch: int64(l.batch), tokens: make(chan struct{}, l.window)}
	if single {
		t.single = make(chan struct{}, 1)
	}
	t.ctx, t.abort = context.WithCancelCause(ctx)
	return t
}

func (t *tally) fail(err error) { t.abort(err) }

// frame is called by the receiver for each frame, which was checked.
func (t *tally) frame() {
	if t.single == nil {
		return
	}
	select {
	case t.single <- struct{}{}:
	case <-t.ctx.Done():
	}
}

// group is called by the receiver for each whole group.
func (t *tally) group(sequence uint64) {
	t.sum.Add(sequence)
	if t.groups.Add(1)%t.batch == 0 {
		<-t.tokens
	}
}

// start waits until another batch may be sent.
func (t *tally) start() error {
	select {
	case t.tokens <- struct{}{}:
		return nil
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
}

// finish waits until all that was sent has arrived, groups 0 to next - 1, each once.
func (t *tally) finish(next uint64) error {
	for range cap(t.tokens) {
		if err := t.start(); err != nil {
			return err
		}
	}
	for range cap(t.tokens) {
		<-t.tokens
	}
	if got := t.groups.Load(); got != int64(next) {
		return fmt.Errorf("%d groups came instead of %d", got, next)
	}
	if got, want := t.sum.Load(), next*(next-1)/2; next > 0 && got != want {
		return fmt.Errorf("the sequences of %d groups add up to %d instead of %d", next, got, want)
	}
	return nil
}

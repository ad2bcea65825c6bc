package pubsub

import "time"

// LiveOnly as MaxAge asks for the live group only: a group is skipped as soon as its
// successor has begun to move on.
const LiveOnly time.Duration = -1

// SubscribeOptions is what one reader wants of a track. The zero value reads from the
// latest group on.
type SubscribeOptions struct {
	// Priority of this reader among the subscriptions of a session, higher first. Zero is
	// the lowest.
	Priority uint8
	// MaxAge bounds the lateness that the reader tolerates, by presentation time. Zero:
	// the track's own. LiveOnly (negative): only the live group. More than the track's
	// own is cut to it.
	MaxAge time.Duration
	// Start is the first group that is wanted, at most 2^62-2. Nil: the latest one.
	Start *uint64
	// FirstFrame is the first frame that is wanted of group Start. It needs Start, and is
	// cut to 8,192.
	FirstFrame int
	// End is the last group that is wanted, at most 2^62-2. Nil: no end.
	End *uint64
}

// copied protects the options from later changes by the caller, and cuts sequences to
// those that can be sent.
func (o SubscribeOptions) copied() SubscribeOptions {
	o.Start, o.End = copyOf(o.Start), copyOf(o.End)
	o.FirstFrame = min(max(o.FirstFrame, 0), maxGroupFrames)
	if o.Start == nil {
		o.FirstFrame = 0
	}
	return o
}

func copyOf(p *uint64) *uint64 {
	if p == nil {
		return nil
	}
	v := min(*p, maxSequence)
	return &v
}

// age is the effective MaxAge on a track that keeps groups for limit.
func (o SubscribeOptions) age(limit time.Duration) time.Duration {
	switch {
	case o.MaxAge < 0:
		return 0
	case o.MaxAge == 0 || o.MaxAge > limit:
		return limit
	default:
		return o.MaxAge
	}
}

// Demand is what all readers of a track want together.
type Demand struct {
	Readers    int
	Priority   uint8         // the highest
	MaxAge     time.Duration // the longest, at most the track's own; 0 is the live group only
	Start      *uint64       // the lowest; nil if any reader wants the latest group. Read-only
	FirstFrame int           // the first frame of group Start that anybody wants
	End        *uint64       // the highest; nil if any reader has no end. Read-only

	// Changed is closed when a Demand with other values can be had. The number of readers
	// counts only as none or some.
	Changed <-chan struct{}
}

// add merges one more reader, whose MaxAge is age.
func (d *Demand) add(o SubscribeOptions, age time.Duration) {
	d.Readers++
	d.Priority = max(d.Priority, o.Priority)
	d.MaxAge = max(d.MaxAge, age)
	if d.Readers == 1 {
		d.Start, d.FirstFrame, d.End = o.Start, o.FirstFrame, o.End
		return
	}
	switch {
	case d.Start == nil:
	case o.Start == nil || *o.Start < *d.Start:
		d.Start, d.FirstFrame = o.Start, o.FirstFrame
	case *o.Start == *d.Start:
		d.FirstFrame = min(d.FirstFrame, o.FirstFrame)
	}
	if d.End != nil && (o.End == nil || *o.End > *d.End) {
		d.End = o.End
	}
}

// same reports whether nothing differs that is worth a wake-up.
func (d Demand) same(o Demand) bool {
	return (d.Readers == 0) == (o.Readers == 0) && d.Priority == o.Priority && d.MaxAge == o.MaxAge &&
		equal(d.Start, o.Start) && d.FirstFrame == o.FirstFrame && equal(d.End, o.End)
}

func equal(a, b *uint64) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// demandCell is a Demand that is replaced, with its wake-up. The owner's lock guards it.
type demandCell struct {
	value   Demand
	changed chan struct{} // made when somebody looks
}

func (c *demandCell) get() Demand {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	d := c.value
	d.Changed = c.changed
	return d
}

// set replaces the value and returns the channel to close after unlocking, or nil.
func (c *demandCell) set(d Demand) chan struct{} {
	var fire chan struct{}
	if !c.value.same(d) {
		fire, c.changed = c.changed, nil
	}
	c.value = d
	return fire
}

// fire closes ch if there is one.
func fire(ch chan struct{}) {
	if ch != nil {
		close(ch)
	}
}

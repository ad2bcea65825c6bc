package moq

import (
	"context"
	"sync"
	"time"
)

// EventKind is what happened.
type EventKind uint8

// The kinds of an [Event].
const (
	EventAttempt   EventKind = iota // an attempt begins
	EventFailed                     // it came to nothing: Err, Class
	EventConnected                  // a session is live; Down is how long there was none that was heard
	EventReplaced                   // the same, beside a session that still served: no outage
	EventSilent                     // the session has fallen silent; it may wake
	EventAwake                      // it is heard again
	EventLost                       // the session has ended: Err, Class
	EventPaused
	EventResumed
	EventStopped // for good: Err
)

var eventNames = [...]string{
	"attempt", "failed", "connected", "replaced", "silent", "awake", "lost", "paused", "resumed", "stopped",
}

// String returns the kind's name in lower case.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "unknown"
}

// Event is something that happened to a [Reconnect]. The events of kind EventConnected
// say how long each outage was, their number how often there was one, and the Err of
// those before why.
type Event struct {
	Kind  EventKind
	Time  time.Time
	State State         // counts the event; the wait or the end that follows one is not entered yet
	Class Action        // of Err
	Err   error         // the failure; nil if there was none yet
	Down  time.Duration // EventConnected, EventReplaced
	// Dropped is how many events were left out before this one, since the observer was
	// slow.
	Dropped uint64
}

// maxNews is how many events wait for a slow observer.
const maxNews = 256

// news are the events that the observer has not heard yet. A nil news is for nobody.
type news struct {
	observe func(Event)
	hooks   *caller
	bell    chan struct{} // rung when there is news, or an end; capacity 1
	done    chan struct{} // closed when the observer's goroutine has ended

	mu      sync.Mutex
	queue   []Event
	dropped uint64
	over    bool
}

// newNews starts the goroutine that tells observe, which close ends.
func newNews(observe func(Event), hooks *caller) *news {
	n := &news{observe: observe, hooks: hooks, bell: make(chan struct{}, 1), done: make(chan struct{})}
	go n.run()
	return n
}

// add queues an event. It never waits.
func (n *news) add(e Event) {
	n.mu.Lock()
	if len(n.queue) == maxNews {
		n.dropped++
	} else {
		e.Dropped, n.dropped = n.dropped, 0
		n.queue = append(n.queue, e)
	}
	n.mu.Unlock()
	ring(n.bell)
}

// run tells the observer, one event after the other, until all was told after the end.
// An observer that ends its goroutine gets another one.
func (n *news) run() {
	over := false
	defer func() {
		if over {
			close(n.done)
			return
		}
		ring(n.bell)
		go n.run()
	}()
	for range n.bell {
		for {
			e, any, end := n.next()
			if over = end && !any; over {
				return
			}
			if !any {
				break
			}
			n.tell(e)
		}
	}
}

func (n *news) next() (e Event, any, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		n.queue = nil
		return Event{}, false, n.over
	}
	e = n.queue[0]
	n.queue = n.queue[1:]
	return e, true, n.over
}

// tell calls the observer. Its panic is that event's affair.
func (n *news) tell(e Event) {
	defer func() {
		if recover() != nil {
			n.hooks.panicked.Add(1)
		}
	}()
	n.observe(e)
}

// close gives the observer hookGrace to hear the rest, and then leaves its goroutine to
// itself, with nothing more to tell.
func (n *news) close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	ring(n.bell)
	ctx, cancel := context.WithTimeout(context.Background(), hookGrace)
	defer cancel()
	if await(ctx, n.done) == nil {
		return
	}
	n.hooks.abandoned.Add(1)
	n.mu.Lock()
	n.queue = nil
	n.mu.Unlock()
}

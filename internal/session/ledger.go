package session

import (
	"slices"

	"github.com/remoq/moq/pubsub"
)

// ledger knows which groups of a subscription were sent, to tell the peer of those that
// never will be.
type ledger struct {
	floor uint64         // everything below was sent, or the peer was told
	sent  []uint64       // at or above floor, in order
	told  []pubsub.Range // above floor, the latest of them
}

// maxTold bounds them: what is forgotten is said once more.
const maxTold = 512

// send notes that a group was sent.
func (l *ledger) send(sequence uint64) {
	if at, found := slices.BinarySearch(l.sent, sequence); !found && sequence >= l.floor {
		l.sent = slices.Insert(l.sent, at, sequence)
	}
}

// forget takes back that groups were sent, and calls drop for those whose account is closed.
func (l *ledger) forget(unsent []uint64, drop func(first, last uint64) error) error {
	for _, sequence := range unsent {
		if sequence < l.floor {
			if err := drop(sequence, sequence); err != nil {
				return err
			}
		} else if at, found := slices.BinarySearch(l.sent, sequence); found {
			l.sent = slices.Delete(l.sent, at, at+1)
		}
	}
	return nil
}

// pass calls drop for what of a range, both ends included, was neither sent nor told.
func (l *ledger) pass(first, last uint64, drop func(first, last uint64) error) error {
	say := func(first, last uint64) error {
		if l.knows(first, last) {
			return nil
		}
		if len(l.told) == maxTold {
			l.told = slices.Delete(l.told, 0, 1)
		}
		l.told = append(l.told, pubsub.Range{First: first, Last: last})
		return drop(first, last)
	}
	first = max(first, l.floor)
	at, _ := slices.BinarySearch(l.sent, first)
	for _, sequence := range l.sent[at:] {
		if sequence > last {
			break
		}
		if first < sequence {
			if err := say(first, sequence-1); err != nil {
				return err
			}
		}
		first = sequence + 1
	}
	if first > last {
		return nil
	}
	return say(first, last)
}

// knows reports whether the peer was told of a whole range.
func (l *ledger) knows(first, last uint64) bool {
	return slices.ContainsFunc(l.told, func(r pubsub.Range) bool { return r.First <= first && last <= r.Last })
}

// raise closes the account of everything below floor, and calls drop for each range of it
// that was not sent, both ends included.
func (l *ledger) raise(floor uint64, drop func(first, last uint64) error) error {
	if floor <= l.floor {
		return nil
	}
	next, done := l.floor, 0
	for ; done < len(l.sent) && l.sent[done] < floor; done++ {
		if sequence := l.sent[done]; next < sequence && !l.knows(next, sequence-1) {
			if err := drop(next, sequence-1); err != nil {
				return err
			}
		}
		next = l.sent[done] + 1
	}
	l.sent = slices.Delete(l.sent, 0, done)
	l.floor = floor
	known := next == floor || l.knows(next, floor-1)
	l.told = slices.DeleteFunc(l.told, func(r pubsub.Range) bool { return r.Last < floor })
	if known {
		return nil
	}
	return drop(next, floor-1)
}

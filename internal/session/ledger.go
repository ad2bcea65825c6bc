package session

import (
	"cmp"
	"slices"

	"github.com/remoq/moq/pubsub"
)

// ledger knows which groups of a subscription are accounted for: they were sent, or the peer was
// told that they never will be.
type ledger struct {
	floor uint64         // everything below is accounted for
	known []pubsub.Range // so is this: above floor, in order, no two touch
}

// maxKnown bounds the ranges of a numbering with holes. What is forgotten is told, once more
// maybe, when the floor passes it.
const maxKnown = 8192

// send notes that a group was sent.
func (l *ledger) send(sequence uint64) {
	if sequence >= l.floor {
		l.add(sequence, sequence)
	}
}

// pass calls drop for what of a range, both ends included, is not accounted for, which it then is.
func (l *ledger) pass(first, last uint64, drop func(first, last uint64) error) error {
	first = max(first, l.floor)
	if first > last {
		return nil
	}
	from := first
	for _, r := range l.known[l.at(first):] {
		if r.First > last {
			break
		}
		if from < r.First {
			if err := drop(from, r.First-1); err != nil {
				return err
			}
		}
		from = r.Last + 1
	}
	if from <= last {
		if err := drop(from, last); err != nil {
			return err
		}
	}
	l.add(first, last)
	return nil
}

// raise closes the account of everything below floor, and calls drop for what is missing in it.
func (l *ledger) raise(floor uint64, drop func(first, last uint64) error) error {
	if floor <= l.floor {
		return nil
	}
	if err := l.pass(l.floor, floor-1, drop); err != nil {
		return err
	}
	l.floor = floor
	l.known = slices.Delete(l.known, 0, l.at(floor))
	return nil
}

// at returns the place of the first known range that does not end below sequence.
func (l *ledger) at(sequence uint64) int {
	i, _ := slices.BinarySearchFunc(l.known, sequence, func(r pubsub.Range, sequence uint64) int {
		return cmp.Compare(r.Last, sequence)
	})
	return i
}

// add makes a range known, in one piece with those that it touches.
func (l *ledger) add(first, last uint64) {
	from := l.at(max(first, 1) - 1)
	to := from
	for ; to < len(l.known) && l.known[to].First <= last+1; to++ {
		first, last = min(first, l.known[to].First), max(last, l.known[to].Last)
	}
	l.known = slices.Replace(l.known, from, to, pubsub.Range{First: first, Last: last})
	if len(l.known) > maxKnown {
		l.known = slices.Delete(l.known, 0, 1)
	}
}

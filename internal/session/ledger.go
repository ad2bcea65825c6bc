package session

import "slices"

// ledger knows which groups of a subscription were sent, to tell the peer of those that
// never will be.
type ledger struct {
	floor uint64   // everything below was sent, or the peer was told
	sent  []uint64 // at or above floor, in order
}

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

// raise closes the account of everything below floor, and calls drop for each range of it
// that was not sent, both ends included.
func (l *ledger) raise(floor uint64, drop func(first, last uint64) error) error {
	if floor <= l.floor {
		return nil
	}
	next, done := l.floor, 0
	for ; done < len(l.sent) && l.sent[done] < floor; done++ {
		if sequence := l.sent[done]; next < sequence {
			if err := drop(next, sequence-1); err != nil {
				return err
			}
		}
		next = l.sent[done] + 1
	}
	l.sent = slices.Delete(l.sent, 0, done)
	l.floor = floor
	if next == floor {
		return nil
	}
	return drop(next, floor-1)
}

package pubsub

import "slices"

// maxSpans bounds how many separate ranges a track remembers as never coming. Beyond it
// the lowest are forgotten: readers then wait for those as for any missing group.
const maxSpans = 64

// span is a range of sequences, both ends included.
type span struct{ first, last uint64 }

// spans is a set of sequences as sorted ranges that do not touch.
type spans []span

// add puts a range into the set.
func (s *spans) add(first, last uint64) {
	if first > last {
		return
	}
	if n := len(*s); n > 0 && (*s)[n-1].last+1 == first {
		(*s)[n-1].last = last // the common case: one after the other
		return
	}
	kept := (*s)[:0:0]
	for _, o := range *s {
		if o.last+1 < first || last+1 < o.first {
			kept = append(kept, o)
			continue
		}
		first, last = min(first, o.first), max(last, o.last)
	}
	kept = append(kept, span{first, last})
	slices.SortFunc(kept, func(a, b span) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	*s = kept[max(0, len(kept)-maxSpans):]
}

// and returns the sequences of both sets.
func (s spans) and(o spans) spans {
	if len(o) == 0 {
		return s
	}
	s = slices.Clone(s)
	for _, p := range o {
		s.add(p.first, p.last)
	}
	return s
}

// cut forgets what lies below floor.
func (s *spans) cut(floor uint64) {
	for len(*s) > 0 && (*s)[0].last < floor {
		*s = (*s)[1:]
	}
}

// past returns the first sequence from seq on that is not in the set.
func (s spans) past(seq uint64) uint64 {
	for _, o := range s {
		if o.first <= seq && seq <= o.last {
			return o.last + 1
		}
	}
	return seq
}

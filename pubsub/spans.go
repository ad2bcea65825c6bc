package pubsub

import (
	"slices"
	"sort"
)

// maxSpans bounds how many separate ranges of sequences a track remembers, as never coming or
// as datagrams. Beyond it the lowest are forgotten: readers then take those for missing groups.
const maxSpans = 512

// span is a range of sequences, both ends included.
type span struct{ first, last uint64 }

// spans is a set of sequences as sorted ranges that do not touch.
type spans []span

// add puts a range into the set.
func (s *spans) add(first, last uint64) {
	if first > last {
		return
	}
	i := s.at(max(first, 1) - 1) // a range that ends right before it is joined too
	j := i
	for ; j < len(*s) && (*s)[j].first <= last+1; j++ {
		first, last = min(first, (*s)[j].first), max(last, (*s)[j].last)
	}
	*s = slices.Replace(*s, i, j, span{first, last})
	if over := len(*s) - maxSpans; over > 0 {
		*s = (*s)[over:]
	}
}

// at returns the place of the first range that does not end before seq.
func (s spans) at(seq uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].last >= seq })
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
func (s *spans) cut(floor uint64) { *s = (*s)[s.at(floor):] }

// past returns the first sequence from seq on that is not in the set.
func (s spans) past(seq uint64) uint64 {
	if i := s.at(seq); i < len(s) && s[i].first <= seq {
		return s[i].last + 1
	}
	return seq
}

// without returns what of a range, the end excluded, is not in the set.
func (s spans) without(first, end uint64) (rest []span) {
	for _, o := range s[s.at(first):] {
		if o.first >= end {
			break
		}
		if first < o.first {
			rest = append(rest, span{first, o.first - 1})
		}
		first = o.last + 1
	}
	if first < end {
		rest = append(rest, span{first, end - 1})
	}
	return rest
}

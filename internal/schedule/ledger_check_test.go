package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// told is what a Follower may say to an account.
type told struct{ *account }

// publish writes three groups of four frames.
func publish(lossless bool) told {
	b := newBooks(1)
	b.begin()
	for group := range uint64(3) {
		for i := range 4 {
			b.write(group, frameTime(group, i))
		}
	}
	return told{&account{books: b, lossless: lossless}}
}

func frameTime(group uint64, index int) time.Duration {
	return time.Duration(group)*time.Second + time.Duration(index)*time.Millisecond
}

// came delivers frames of a group, and its end.
func (a told) came(group uint64, gaps []pubsub.Gap, end error, frames ...int) {
	s, p := a.group(group, gaps)
	for _, i := range frames {
		a.send(s, p, position{a.books.life, group, i})
	}
	a.end(p, end)
}

func (a told) send(s *series, p *page, of position) {
	a.frame(s, p, pubsub.Frame{Timestamp: frameTime(of.group, of.index), Payload: a.books.payload(of)})
}

var errAny = errors.New("lost")

func cutAt(group uint64, frame int) error {
	return &moqerr.GapError{Gap: pubsub.Gap{First: group, FirstFrame: frame, Last: group, Cause: errAny}}
}

var all = []int{0, 1, 2, 3}

// TestLedger: what a Follower must not do is found out.
func TestLedger(t *testing.T) {
	for _, c := range []struct {
		name     string
		lossless bool
		say      func(told)
		want     string // of what is wrong; empty: nothing
	}{
		{"everything", true, func(a told) {
			for group := range uint64(3) {
				a.came(group, nil, nil, all...)
			}
		}, ""},
		{"from the middle on", true, func(a told) {
			a.came(1, nil, nil, all...)
			a.came(2, nil, nil, all...)
		}, ""},
		{"a gap", false, func(a told) {
			a.came(0, nil, cutAt(0, 2), 0, 1)
			a.came(2, []pubsub.Gap{{First: 0, FirstFrame: 2, Last: 1, Cause: errAny}}, nil, all...)
		}, ""},
		{"only the end of a group is lost", false, func(a told) {
			a.came(0, nil, cutAt(0, 4), all...)
			a.came(1, []pubsub.Gap{{First: 0, FirstFrame: 4, Last: 0, Cause: errAny}}, nil, all...)
			a.came(2, nil, nil, all...)
		}, ""},
		{"a frame is left out", true, func(a told) {
			a.came(0, nil, nil, 0, 1, 3)
		}, "frame 1/0/3 instead of 1/0/2"},
		{"a frame comes twice", true, func(a told) {
			a.came(0, nil, nil, 0, 1, 1, 2, 3)
		}, "frame 1/0/1 instead of 1/0/2"},
		{"frames change places", true, func(a told) {
			a.came(0, nil, nil, 0, 2, 1, 3)
		}, "frame 1/0/2 instead of 1/0/1"},
		{"the last frame is left out", true, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(1, nil, nil, all[:3]...)
			a.came(2, nil, nil, all...)
		}, "group 1 of publisher 1: 3 of 4 frames came, and no gap says so"},
		{"a frame is made up", true, func(a told) {
			a.came(0, nil, nil, 0, 1, 2, 3, 4)
		}, "frame 1/0/4 was never published"},
		{"a payload is broken", true, func(a told) {
			s, p := a.group(0, nil)
			payload := a.books.payload(position{1, 0, 0})
			payload[30]++
			a.frame(s, p, pubsub.Frame{Payload: payload})
		}, "frame 1/0/0 is broken"},
		{"a time is wrong", true, func(a told) {
			s, p := a.group(0, nil)
			a.frame(s, p, pubsub.Frame{Timestamp: time.Second, Payload: a.books.payload(position{1, 0, 0})})
		}, "is of 1s instead of 0s"},
		{"a group comes twice", true, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(0, nil, nil, all...)
		}, "group 0 came twice"},
		{"groups change places", true, func(a told) {
			a.came(1, nil, nil, all...)
			a.came(0, nil, nil, all...)
		}, "group 0 came after group 1"},
		{"a group is left out", true, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(2, nil, nil, all...)
		}, "group 1 of publisher 1: 0 of 4 frames came, and no gap says so"},
		{"the end is left out", true, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(1, nil, nil, all...)
		}, "group 2 of publisher 1: 0 of 4 frames came, and no gap says so"},
		{"a gap is told twice", false, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(2, []pubsub.Gap{{First: 1, Last: 1}, {First: 1, Last: 1}}, nil, all...)
		}, "group 1 of publisher 1 is in 2 gaps"},
		{"a gap begins too early", false, func(a told) {
			a.came(0, nil, cutAt(0, 2), 0, 1)
			a.came(2, []pubsub.Gap{{First: 0, FirstFrame: 1, Last: 1}}, nil, all...)
		}, "2 of 4 frames came, and a gap begins at 1"},
		{"a gap begins too late", false, func(a told) {
			a.came(0, nil, cutAt(0, 2), 0, 1)
			a.came(2, []pubsub.Gap{{First: 0, FirstFrame: 3, Last: 1}}, nil, all...)
		}, "2 of 4 frames came, and a gap begins at 3"},
		{"a gap names what came", false, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(1, nil, nil, all...)
			a.came(2, []pubsub.Gap{{First: 1, Last: 1}}, nil, all...)
		}, "group 1 of publisher 1: 4 of 4 frames came, and a gap begins at 0"},
		{"a group's own error is wrong", false, func(a told) {
			a.came(0, nil, cutAt(0, 3), 0, 1)
		}, "group 0 ended behind 2 frames, and says"},
		{"a group ends in no other way", false, func(a told) {
			a.came(0, nil, errAny, 0, 1)
		}, "group 0 ended with lost"},
		{"what is kept is lost", true, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(2, []pubsub.Gap{{First: 1, Last: 1}}, nil, all...)
		}, "group 1 of publisher 1 is lost from frame 0 on, although it was kept"},
		{"another publisher", false, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(1, nil, cutAt(1, 2), 0, 1)
			a.books.begin()
			a.books.write(0, 0)
			a.came(0, []pubsub.Gap{{First: 1, FirstFrame: 2, Restarted: true}}, nil, 0)
		}, ""},
		{"another publisher, too late", false, func(a told) {
			a.came(0, nil, nil, all...)
			a.came(1, nil, nil, 0, 1)
			a.books.begin()
			a.books.write(0, 0)
			a.came(0, []pubsub.Gap{{First: 2, Restarted: true}}, nil, 0)
		}, "group 1 of publisher 1: 2 of 4 frames came, and no gap says so"},
		{"another publisher that nobody told of", false, func(a told) {
			a.came(0, nil, nil, all...)
			a.books.begin()
			a.books.write(1, frameTime(1, 0))
			a.came(1, nil, nil, 0)
		}, "frame 2/1/0 instead of 1/1/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := publish(c.lossless)
			c.say(a)
			wrong := a.audit(true)
			if c.want == "" {
				require.Empty(t, wrong)
				return
			}
			require.Contains(t, strings.Join(wrong, "\n"), c.want)
		})
	}
}

package wire

import "time"

// SubscribeParams is what a subscriber may change while a subscription runs (§4.5).
// Its zero value is the live edge (on lite-06: what is within MaxAge, which is 0),
// without an end.
type SubscribeParams struct {
	Priority uint8         // higher first
	MaxAge   time.Duration // how late a group may still be sent; milliseconds on the wire

	Start    uint64 // first group, if HasStart; lite-06 reads 0 as no start
	HasStart bool
	End      uint64 // last group, if HasEnd
	HasEnd   bool

	FrameStart  uint64 // lite-06: first frame of group Start
	FrameEnd    uint64 // lite-06: last frame of group End, if HasFrameEnd, which needs HasEnd
	HasFrameEnd bool
}

func (p SubscribeParams) appendParams(b []byte, l *layout) []byte {
	b = appendPriority(b, p.Priority, l)
	b = appendMillis(b, p.MaxAge)
	switch {
	case !l.rawGroupStart:
		b = appendBound(b, p.Start, p.HasStart)
	case p.HasStart:
		b = appendSequence(b, p.Start)
	default:
		b = append(b, 0)
	}
	b = appendBound(b, p.End, p.HasEnd)
	if l.frameBounds {
		b = appendSequence(b, p.FrameStart)
		b = appendBound(b, p.FrameEnd, p.HasFrameEnd)
	}
	return b
}

func (d *decoder) params(l *layout) SubscribeParams {
	p := SubscribeParams{Priority: d.priority(l), MaxAge: d.millis("max age")}
	if l.rawGroupStart {
		p.Start = d.sequence("group start")
		p.HasStart = p.Start != 0
	} else {
		p.Start, p.HasStart = d.bound("group start")
	}
	p.End, p.HasEnd = d.bound("group end")
	if l.frameBounds {
		p.FrameStart = d.sequence("frame start")
		p.FrameEnd, p.HasFrameEnd = d.bound("frame end")
		if p.HasFrameEnd && !p.HasEnd {
			d.fail("frame end", ErrRange)
		}
	}
	return p
}

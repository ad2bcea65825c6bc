package wire

import (
	"time"
	"unicode/utf8"
)

// decoder reads the fields of one body in order. The first field that fails is kept;
// every later one is zero, so a message is read without a check for each field.
type decoder struct {
	message string
	rest    []byte
	err     *Error
}

func (d *decoder) fail(field string, err error) {
	if d.err == nil {
		d.err = &Error{Message: d.message, Field: field, Err: err}
	}
	d.rest = nil
}

// done returns the first failure. Bytes left over are one.
func (d *decoder) done() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail("end", ErrLong)
	}
	if d.err == nil {
		return nil
	}
	return d.err
}

func (d *decoder) varint(field string) uint64 {
	v, n := cutVarint(d.rest)
	if n == 0 {
		d.fail(field, ErrShort)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) byte(field string) byte {
	if len(d.rest) == 0 {
		d.fail(field, ErrShort)
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// bytes reads a length and that many bytes, which are not copied.
func (d *decoder) bytes(field string) []byte {
	n := d.varint(field)
	if n > uint64(len(d.rest)) {
		d.fail(field, ErrShort)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text(field string) string {
	b := d.bytes(field)
	if !utf8.Valid(b) {
		d.fail(field, ErrUTF8)
		return ""
	}
	return string(b)
}

// path reads a path and cleans it.
func (d *decoder) path(field string) string {
	p := string(d.bytes(field))
	if err := checkPath(p); err != nil {
		d.fail(field, err)
		return ""
	}
	return CleanPath(p)
}

// sequence reads a group sequence or frame index.
func (d *decoder) sequence(field string) uint64 {
	v := d.varint(field)
	if v > MaxSequence {
		d.fail(field, ErrRange)
		return 0
	}
	return v
}

// bound reads an optional sequence: 0 for none, else one more than it (§3.3).
func (d *decoder) bound(field string) (v uint64, ok bool) {
	v = d.varint(field)
	if v == 0 {
		return 0, false
	}
	return v - 1, true
}

// millis reads a duration; one that is too long becomes the longest.
func (d *decoder) millis(field string) time.Duration {
	v := d.varint(field)
	if v > uint64(maxDuration/time.Millisecond) {
		return maxDuration
	}
	return time.Duration(v) * time.Millisecond
}

// priority reads a priority and the retired byte after it.
func (d *decoder) priority(l *layout) uint8 {
	p := d.byte("priority")
	if l.orderedByte {
		d.byte("ordered")
	}
	return p
}

// hops reads a hop list (§3.5). A count over the limit is refused before any of it
// is read.
func (d *decoder) hops() []uint64 {
	n := d.varint("hop count")
	if n > MaxHops {
		d.fail("hop count", ErrTooLarge)
	}
	if d.err != nil || n == 0 {
		return nil
	}
	hops := make([]uint64, 0, n)
	for range n {
		id := d.varint("hop")
		for _, earlier := range hops {
			if id != 0 && id == earlier {
				d.fail("hop", ErrDuplicate)
			}
		}
		hops = append(hops, id)
	}
	return hops
}

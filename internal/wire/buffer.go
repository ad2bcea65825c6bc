package wire

import (
	"errors"
	"io"
	"math/bits"
)

const (
	firstBuffer = 1536 // a full packet's worth of a group: a second buffer for it would cost more
	largeBuffer = 64 << 10
	// allowance is how much memory may be asked for ahead of what has arrived. The rest
	// of the promised 64 KiB is for rounding up, and for the Reader itself.
	allowance = 48 << 10
	// page is the unit in which the allocator gives out more than a few kilobytes.
	page = 8 << 10
	// spare is asked for beyond a large item, so that the end of the stream, or the
	// head of the next item, can be read without another buffer.
	spare = 32
)

// Memory bounds what Readers hold together.
type Memory interface {
	Take(n int64) bool // false: there is no room for n bytes more
	Give(n int64)
}

// ErrNoMemory says that a Reader was refused the memory that it needs for what its stream
// is carrying. It says nothing about the bytes.
var ErrNoMemory = errors.New("no memory left")

// buffer holds what was read from src and not yet handed out. Memory is filled once
// and then left to whoever holds pieces of it.
type buffer struct {
	src  io.Reader
	next int   // size of the next ordinary buffer
	err  error // of src; given out once everything before it was

	buf        []byte // being filled; buf[start:end] is not yet handed out
	start, end int

	memory Memory // nil: no bound
	held   int    // taken from it, for buf and for pieces of an item that is not whole

	kept  int  // memory that payloads are pieces of
	given bool // buf is a part of it

	arrived int // bytes read from src
	spent   int // bytes of memory asked for; at most allowance + 2*arrived, and a page
}

// ensure makes sure that the next n bytes are at hand, in one piece.
func (b *buffer) ensure(n int) error {
	if b.end-b.start >= n {
		return nil
	}
	return b.fill(n)
}

// take hands out the next n bytes. Their capacity is cut, so that appending to them
// does not write into what follows.
func (b *buffer) take(n int) []byte {
	p := b.buf[b.start : b.start+n : b.start+n]
	b.start += n
	return p
}

// give notes that whoever has a payload out of buf keeps all of it, and counts it from here
// on.
func (b *buffer) give() {
	if !b.given {
		b.given = true
		b.kept += len(b.buf)
		b.letGo(b.held)
	}
}

// skip drops the next n bytes, without keeping them.
func (b *buffer) skip(n int) error {
	have := min(n, b.end-b.start)
	b.start += have
	if n -= have; n == 0 {
		return nil
	}
	if b.err != nil {
		return b.err
	}
	_, err := io.CopyN(io.Discard, b.src, int64(n))
	return err
}

func (b *buffer) fill(n int) error {
	if n > len(b.buf)-b.start {
		if err := b.makeRoom(n); err != nil {
			return err
		}
	}
	for b.end-b.start < n {
		if err := b.read(); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom starts a new buffer that holds n bytes, with what is not handed out yet.
func (b *buffer) makeRoom(n int) error {
	size := roundUp(n + spare)
	if b.credit() < size {
		return b.collect(n)
	}
	old := b.held
	if b.next <= b.credit() && b.next > size && b.hold(b.next) {
		size = b.next
	} else if !b.hold(size) {
		return ErrNoMemory
	}
	b.replace(size, b.buf[b.start:b.end])
	b.letGo(old)
	b.next = min(roundUp(b.arrived), largeBuffer)
	return nil
}

// hold takes n bytes from the memory, or is refused them.
func (b *buffer) hold(n int) bool {
	if b.memory == nil {
		return true
	}
	if !b.memory.Take(int64(n)) {
		return false
	}
	b.held += n
	return true
}

// letGo gives n bytes back: what they hold is whole, and its new owner's affair.
func (b *buffer) letGo(n int) {
	if b.memory != nil && n > 0 {
		b.held -= n
		b.memory.Give(int64(n))
	}
}

// collect is makeRoom for more than may be asked for at once: bytes arrive in pieces
// until enough has come to have the rest in one.
func (b *buffer) collect(n int) error {
	size := roundUp(n + spare)
	var pieces [][]byte
	for missing := n; ; {
		for b.end < len(b.buf) {
			if err := b.read(); err != nil {
				return err
			}
		}
		pieces = append(pieces, b.buf[b.start:b.end])
		missing -= b.end - b.start
		if missing == 0 || b.credit() >= size {
			break
		}
		// A full buffer has earned twice what was read into it, so there is credit.
		piece := roundDown(min(b.credit(), missing))
		if !b.hold(piece) {
			return ErrNoMemory
		}
		b.replace(piece)
	}
	old := b.held
	if !b.hold(size) {
		return ErrNoMemory
	}
	b.replace(size, pieces...)
	b.letGo(old)
	return nil
}

// credit is how much memory may be asked for now.
func (b *buffer) credit() int { return allowance + 2*b.arrived - b.spent }

// replace leaves the buffer to its readers and starts one that begins with pieces.
func (b *buffer) replace(size int, pieces ...[]byte) {
	buf := make([]byte, size)
	b.spent += size
	b.start, b.end, b.given = 0, 0, false
	for _, p := range pieces {
		b.end += copy(buf[b.end:], p)
	}
	b.buf = buf
}

// read reads whatever src has into the free part of the buffer, which is not empty.
func (b *buffer) read() error {
	for range 100 {
		if b.err != nil {
			return b.err
		}
		n, err := b.src.Read(b.buf[b.end:])
		b.end += n
		b.arrived += n
		b.err = err
		if n > 0 {
			return nil
		}
	}
	b.err = io.ErrNoProgress
	return b.err
}

// roundUp and roundDown give the sizes that the allocator does not round up itself,
// so that spent is true: powers of two, then whole pages. n is positive.
func roundUp(n int) int {
	if n <= page {
		return 1 << bits.Len(uint(n-1))
	}
	return (n + page - 1) &^ (page - 1)
}

func roundDown(n int) int {
	if n < page {
		return 1 << (bits.Len(uint(n)) - 1)
	}
	return n &^ (page - 1)
}

//go:build !windows

package transport

import (
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFailedWriteIsALostPacketOnceTheHandshakeIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		err           error
		before, after bool // lost, not returned
		hints         int  // afterwards
	}{
		"no route":        {syscall.ENETUNREACH, false, true, 1},
		"refused":         {syscall.ECONNREFUSED, true, true, 1},
		"queue full":      {syscall.ENOBUFS, true, true, 0},
		"too large":       {syscall.EMSGSIZE, false, false, 0},
		"invalid":         {syscall.EINVAL, false, false, 0},
		"closed":          {net.ErrClosed, false, false, 0},
		"not an errno":    {io.ErrUnexpectedEOF, false, false, 0},
		"offload refused": {syscall.EIO, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEar()
			s := observe(&faulty{errs: []error{c.err, c.err, nil}}, e, true)
			write := func(lost bool) {
				n, err := s.WriteTo([]byte("abc"), nil)
				if lost {
					require.NoError(t, err)
					require.Equal(t, 3, n)
					return
				}
				require.ErrorIs(t, err, c.err)
			}
			write(c.before)
			for len(e.hints) > 0 {
				<-e.hints
			}
			s.tolerate()
			write(c.after)
			require.Len(t, e.hints, c.hints)
			require.Zero(t, e.writes.Load(), "what was lost was not sent")
			write(true)
			require.EqualValues(t, 1, e.writes.Load())
		})
	}
}

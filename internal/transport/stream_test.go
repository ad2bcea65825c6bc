package transport

import (
	"bytes"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// stranger is a code outside every registry that survives the mapping only if
// reserved numbers are skipped.
const stranger = moqerr.StreamCode(468)

func TestUnidirectionalStreams(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		for _, dir := range []struct{ from, to Conn }{{ours, theirs}, {theirs, ours}} {
			for _, size := range []int{0, 1, 1400, 1449, 1450, 100_000} {
				sent := bytes.Repeat([]byte("moq"), size/3+1)[:size]
				out, err := dir.from.OpenUniStream(ctx)
				require.NoError(t, err)
				written := make(chan error, 1)
				go func() {
					n, err := out.Write(sent)
					if err == nil && n != len(sent) {
						err = io.ErrShortWrite
					}
					if err == nil {
						err = out.Close()
					}
					written <- err
				}()
				in, err := dir.to.AcceptUniStream(ctx)
				require.NoError(t, err)
				got, err := io.ReadAll(in)
				require.NoError(t, err)
				require.Equal(t, sent, append([]byte{}, got...))
				require.NoError(t, <-written)
			}
		}
	})
}

func TestBidirectionalStreams(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		for _, dir := range []struct{ from, to Conn }{{ours, theirs}, {theirs, ours}} {
			a, err := dir.from.OpenStream(ctx)
			require.NoError(t, err)
			a.SetPriority(-3, false)
			a.SetPriority(99, true)
			_, err = a.Write([]byte("ask"))
			require.NoError(t, err)
			require.NoError(t, a.Close())
			require.Error(t, a.Context().Err(), "closed streams end their context")
			b, err := dir.to.AcceptStream(ctx)
			require.NoError(t, err)
			require.Equal(t, "ask", readAll(t, b))
			_, err = b.Write([]byte("answer"))
			require.NoError(t, err)
			require.NoError(t, b.Close())
			require.Equal(t, "answer", readAll(t, a))
		}
	})
}

// A stream that was opened and closed without a byte still arrives.
func TestEmptyStreamArrives(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		out, err := ours.OpenUniStream(ctx)
		require.NoError(t, err)
		require.NoError(t, out.Close())
		in, err := theirs.AcceptUniStream(ctx)
		require.NoError(t, err)
		require.Empty(t, readAll(t, in))
	})
}

func TestResetAndStopCarryCodes(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		for _, code := range []moqerr.StreamCode{0, moqerr.StreamOld, 29, 30, 31, stranger} {
			for _, dir := range []struct{ from, to Conn }{{ours, theirs}, {theirs, ours}} {
				a, err := dir.from.OpenStream(ctx)
				require.NoError(t, err)
				_, err = a.Write([]byte("x"))
				require.NoError(t, err)
				b, err := dir.to.AcceptStream(ctx)
				require.NoError(t, err)
				_, err = b.Read(make([]byte, 1))
				require.NoError(t, err)

				a.Reset(code)
				_, err = b.Read(make([]byte, 1))
				require.Equal(t, &moqerr.StreamError{Code: code, Remote: true}, err)
				_, err = a.Write([]byte("y"))
				require.Equal(t, &moqerr.StreamError{Code: code}, err)

				a.Stop(code)
				<-b.Context().Done()
				_, err = b.Write([]byte("z"))
				require.Equal(t, &moqerr.StreamError{Code: code, Remote: true}, err)
				_, err = a.Read(make([]byte, 1))
				require.Equal(t, &moqerr.StreamError{Code: code}, err)
			}
		}
	})
}

// TestStopEndsAReadThatWaitsBehindAReset: a reset may overtake data that the peer still delivers.
func TestStopEndsAReadThatWaitsBehindAReset(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ours, _, s := n.pair("moqt", serverOptions{})
		out, err := (<-s.quics).OpenUniStream()
		require.NoError(t, err)
		time.Sleep(10 * rtt)
		n.router.dusk.Store(true)
		_, err = out.Write(make([]byte, 2000)) // two packets
		require.NoError(t, err)
		synctest.Wait()
		n.router.dark.Store(false)
		out.SetReliableBoundary()
		out.CancelWrite(1)
		in, err := ours.AcceptUniStream(t.Context())
		require.NoError(t, err)
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(in, make([]byte, 2000))
			read <- err
		}()
		time.Sleep(latency)
		require.Empty(t, read, "the rest is not sent again yet")
		in.Stop(moqerr.StreamCancelled)
		select {
		case err := <-read:
			require.Error(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "it reads for ever")
		}
	})
}

// TryWrite takes what the peer has given credit for, together with what was written before, and
// nothing else.
func TestTryWrite(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		const window = 2000
		ctx := testContext(t)
		config := quicConfig()
		config.InitialStreamReceiveWindow, config.MaxStreamReceiveWindow = window, window
		ours, theirs, _ := n.pair(scheme, serverOptions{quic: config})
		try := func(s SendStream, size int) bool {
			ok, err := s.TryWrite(make([]byte, size))
			require.NoError(t, err)
			return ok
		}
		for _, written := range []int{0, 700} {
			s, err := ours.OpenUniStream(ctx)
			require.NoError(t, err)
			if written > 0 {
				_, err = s.Write(make([]byte, written))
				require.NoError(t, err)
			}
			require.True(t, try(s, 1000))
			require.False(t, try(s, window), "no credit")
			require.True(t, try(s, 200))
			require.NoError(t, s.Close())
			in, err := theirs.AcceptUniStream(ctx)
			require.NoError(t, err)
			require.Len(t, readAll(t, in), written+1200)
		}
		s, err := ours.OpenUniStream(ctx)
		require.NoError(t, err)
		s.Reset(moqerr.StreamOld)
		ok, err := s.TryWrite([]byte("x"))
		require.False(t, ok)
		require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamOld}, err)
	})
}

func TestCloseAfterReset(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ours, _, _ := n.pair(scheme, serverOptions{})
		s, err := ours.OpenUniStream(testContext(t))
		require.NoError(t, err)
		_, err = s.Write([]byte("x"))
		require.NoError(t, err)
		s.Reset(moqerr.StreamCancelled)
		require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamCancelled}, s.Close())
	})
}

func TestReadDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair("https", serverOptions{})
		out, err := theirs.OpenUniStream(ctx)
		require.NoError(t, err)
		_, err = out.Write([]byte("x"))
		require.NoError(t, err)
		in, err := ours.AcceptUniStream(ctx)
		require.NoError(t, err)
		_, err = in.Read(make([]byte, 1))
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, in.SetReadDeadline(start.Add(time.Second)))
		_, err = in.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// The first message of a stream leaves with the stream's header, at once: no
// virtual time passes although nothing can be acknowledged.
func TestFirstWriteDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ours, _, _ := n.pair("https", serverOptions{})
		n.router.dark.Store(true)
		start := time.Now()
		for range 50 {
			s, err := ours.OpenUniStream(t.Context())
			require.NoError(t, err)
			sent, err := s.Write(make([]byte, 1400))
			require.NoError(t, err)
			require.Equal(t, 1400, sent)
			require.NoError(t, s.Close())
		}
		require.Zero(t, time.Since(start))
	})
}

func TestStreamsWaitForCredit(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		config := quicConfig()
		config.MaxIncomingUniStreams = 5
		ours, theirs, _ := n.pair(scheme, serverOptions{quic: config})
		const count = 10
		opened := make(chan SendStream, count)
		failed := make(chan error, 1)
		go func() {
			for range count {
				s, err := ours.OpenUniStream(ctx)
				if err != nil {
					failed <- err
					return
				}
				opened <- s
			}
		}()
		finish := func() {
			select {
			case s := <-opened:
				_, err := s.Write([]byte("x"))
				require.NoError(t, err)
				require.NoError(t, s.Close())
			case err := <-failed:
				require.NoError(t, err)
			}
		}
		finish()
		if n.sim != nil {
			synctest.Wait()
			require.Less(t, int64(len(opened)), config.MaxIncomingUniStreams, "the others wait for credit")
		}
		go func() {
			for {
				in, err := theirs.AcceptUniStream(ctx)
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, in) }()
			}
		}()
		for range count - 1 {
			finish()
		}
		require.NoError(t, ours.Close(0, ""))
	})
}

// Only the first write of a stream allocates, for its header.
func TestWritesDoNotAllocate(t *testing.T) {
	s := &sendStream{quic: &sink{}, header: []byte{0x40, 0x54, 0}}
	payload := make([]byte, 100)
	_, err := s.Write(payload)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = s.Write(payload) }))
}

func TestHeaderGoesWithTheFirstWrite(t *testing.T) {
	for _, c := range []struct {
		size   int
		writes []int
	}{
		{0, []int{3}}, {1, []int{4}}, {1449, []int{1452}}, {1450, []int{1203, 250}}, {5000, []int{1203, 3800}},
	} {
		q := &sink{}
		s := &sendStream{quic: q, header: []byte{0x40, 0x54, 0}}
		n, err := s.Write(make([]byte, c.size))
		require.NoError(t, err)
		require.Equal(t, c.size, n)
		require.Equal(t, c.writes, q.writes)
		require.Equal(t, c.writes[0], q.boundary)
	}
}

// sink is a quic stream that takes everything and notes sizes.
type sink struct {
	quicSender
	writes          []int
	total, boundary int
}

func (s *sink) WriteWithLimit(p []byte, _ func(int) int) (int, error) {
	if len(s.writes) < 4 {
		s.writes = append(s.writes, len(p))
	}
	s.total += len(p)
	return len(p), nil
}

func (s *sink) SetReliableBoundary() { s.boundary = s.total }

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

package netwatch

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 10 * time.Second

// counter hands out a token for each call.
type counter chan struct{}

func (c counter) changed() { c <- struct{}{} }

func (c counter) await(t *testing.T, what string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		require.FailNow(t, "no call", what)
	}
}

// none waits for three times as long as a change takes to be told.
func (c counter) none(t *testing.T, what string) {
	t.Helper()
	timer := time.NewTimer(3 * gathering)
	defer timer.Stop()
	select {
	case <-c:
		require.FailNow(t, "a call", what)
	case <-timer.C:
	}
}

// pair is a watcher of what the other end writes.
func pair(t *testing.T, gathering time.Duration, changed func()) (w *watcher, kernel *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	kernel = os.NewFile(uintptr(fds[1]), "kernel")
	t.Cleanup(func() { _ = kernel.Close() })
	w = &watcher{source: os.NewFile(uintptr(fds[0]), "source"), known: *empty(), gathering: gathering, changed: changed}
	return w, kernel
}

func TestABurstIsOneCall(t *testing.T) {
	calls := make(counter, 64)
	w, kernel := pair(t, 300*time.Millisecond, calls.changed)
	write := func(m []byte) {
		_, err := kernel.Write(m)
		require.NoError(t, err)
	}
	for i := range 50 {
		write(ifaddr(newAddr, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String()+"/24", 0, 0))
	}
	start := time.Now()
	w.run.Go(w.follow)
	calls.await(t, "burst")
	require.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
	write(ifaddr(newAddr, "192.0.2.1/24", 0, 0)) // known
	write(ifaddr(newAddr, "198.51.100.1/24", 0, 0))
	calls.await(t, "second change")
	w.stop()
	require.Empty(t, calls)
}

func TestAStormDoesNotPutOffTheCall(t *testing.T) {
	calls := make(counter, 64)
	w, kernel := pair(t, 20*time.Millisecond, calls.changed)
	w.run.Go(w.follow)
	defer w.stop()
	for start := time.Now(); len(calls) == 0; {
		for _, flags := range []byte{0, syscall.IFA_F_DEPRECATED} {
			_, err := kernel.Write(ifaddr(newAddr, "2001:db8::7/64", flags, 0))
			require.NoError(t, err)
		}
		require.Less(t, time.Since(start), patience)
	}
}

func TestStopWaitsForTheCall(t *testing.T) {
	var (
		w      *watcher
		kernel *os.File
	)
	called := make(chan struct{})
	var ended error
	w, kernel = pair(t, time.Millisecond, func() {
		close(called)
		_, err := w.source.Read(make([]byte, 1)) // until stop closes it
		runtime.Gosched()
		ended = err
	})
	w.run.Go(w.follow)
	_, err := kernel.Write(ifaddr(newAddr, "192.0.2.1/24", 0, 0))
	require.NoError(t, err)
	<-called
	w.stop()
	require.ErrorIs(t, ended, os.ErrClosed)
	w.stop()
}

func TestWatchStops(t *testing.T) {
	stop, ok := Watch(func() {})
	require.True(t, ok)
	stop()
	stop()
}

// overrun is a source that has lost something.
type overrun struct {
	source
	told bool
}

func (o *overrun) Read(b []byte) (int, error) {
	if !o.told {
		o.told = true
		return 0, &os.PathError{Op: "read", Err: syscall.ENOBUFS}
	}
	return o.source.Read(b)
}

func TestLostNotificationsAreAChange(t *testing.T) {
	calls := make(counter, 64)
	w, kernel := pair(t, time.Millisecond, calls.changed)
	w.source = &overrun{source: w.source}
	w.known.addresses[address{link: eth}] = 0
	w.run.Go(w.follow)
	calls.await(t, "overrun")
	_, err := kernel.Write(ifaddr(newAddr, "192.0.2.1/24", 0, 0))
	require.NoError(t, err)
	calls.await(t, "it goes on")
	w.stop()
	require.NotContains(t, w.known.addresses, address{link: eth}, "what was known is asked for again")
}

func TestTheEndOfTheSourceIsTheEnd(t *testing.T) {
	w, kernel := pair(t, time.Millisecond, func() {})
	defer w.stop()
	require.NoError(t, kernel.Close())
	require.False(t, w.gather(make([]byte, 100)))
}

const inside = "NETWATCH_TEST_NAMESPACE"

// The real kernel, in a network namespace of a process of its own.
func TestARealNetwork(t *testing.T) {
	if os.Getenv(inside) != "" {
		changeTheNetwork(t)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(self, "-test.run=^TestARealNetwork$", "-test.v", "-test.timeout=1m")
	child.Env = append(os.Environ(), inside+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("the system forbids namespaces")
	}
	require.NoError(t, err, "%s", out)
}

func changeTheNetwork(t *testing.T) {
	calls := make(counter, 64)
	stop, ok := Watch(calls.changed)
	require.True(t, ok)
	defer stop()
	const lo = 1
	ip := netip.MustParseAddr("10.9.9.9")
	addr := func(kind uint16, flags uint16) {
		body := append([]byte{syscall.AF_INET, 24, 0, 0}, binary.NativeEndian.AppendUint32(nil, lo)...)
		body = append(body, attribute(syscall.IFA_LOCAL, ip.AsSlice())...)
		request(t, message(kind, append(body, attribute(syscall.IFA_ADDRESS, ip.AsSlice())...)), flags)
	}
	flags := func(value uint32) {
		body := make([]byte, syscall.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(body[4:], lo)
		binary.NativeEndian.PutUint32(body[8:], value)
		binary.NativeEndian.PutUint32(body[12:], syscall.IFF_UP)
		request(t, message(newLink, body), 0)
	}
	flags(up)
	calls.none(t, "an interface that leads nowhere")
	addr(newAddr, syscall.NLM_F_CREATE)
	calls.await(t, "new address")
	addr(newAddr, syscall.NLM_F_REPLACE)
	calls.none(t, "a renewal")
	flags(0)
	calls.await(t, "interface down")
	flags(up)
	calls.await(t, "interface up")
	body := []byte{syscall.AF_INET, 0, 0, 0, syscall.RT_TABLE_MAIN, 3, syscall.RT_SCOPE_LINK, syscall.RTN_UNICAST, 0, 0, 0, 0}
	body = append(body, attribute(syscall.RTA_OIF, binary.NativeEndian.AppendUint32(nil, lo))...)
	request(t, message(newRoute, body), syscall.NLM_F_CREATE)
	calls.await(t, "default route")
	addr(delAddr, 0)
	calls.await(t, "address gone")
	stop()
	require.Empty(t, calls)
}

// request has the kernel do something, and waits until it is done.
func request(t *testing.T, m []byte, flags uint16) {
	t.Helper()
	binary.NativeEndian.PutUint16(m[6:], flags|syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Sendto(fd, m, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}))
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, 0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, syscall.NLMSG_HDRLEN+4)
	require.EqualValues(t, syscall.NLMSG_ERROR, binary.NativeEndian.Uint16(answer[4:]))
	errno := -int32(binary.NativeEndian.Uint32(answer[syscall.NLMSG_HDRLEN:]))
	require.Zero(t, errno, syscall.Errno(errno).Error())
}

package peers

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 5 * time.Second

// echo answers every packet with its own content and the address that it came from.
func echo(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp4", addr)
	require.NoError(t, err)
	conn, err := net.ListenUDP("udp4", at)
	require.NoError(t, err)
	var pump sync.WaitGroup
	pump.Go(func() {
		packet := make([]byte, packetSize)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %v", packet[:n], from), from)
		}
	})
	t.Cleanup(func() { _ = conn.Close(); pump.Wait() })
	return conn
}

func newProxy(t *testing.T, upstream string) *Proxy {
	t.Helper()
	p, err := NewProxy(upstream)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// visitor is a client with a connected socket, which hears ICMP errors.
type visitor struct{ *net.UDPConn }

func visit(t *testing.T, addr string) visitor {
	t.Helper()
	conn, err := net.Dial("udp4", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return visitor{conn.(*net.UDPConn)}
}

func (v visitor) addr() netip.AddrPort { return v.LocalAddr().(*net.UDPAddr).AddrPort() }

// ask sends text and returns the answer.
func (v visitor) ask(t *testing.T, text string) string {
	t.Helper()
	answer, err := v.try(text, patience)
	require.NoError(t, err)
	return answer
}

func (v visitor) try(text string, within time.Duration) (string, error) {
	if _, err := v.Write([]byte(text)); err != nil {
		return "", err
	}
	_ = v.SetReadDeadline(time.Now().Add(within))
	packet := make([]byte, packetSize)
	n, err := v.Read(packet)
	return string(packet[:n]), err
}

// silence checks that text is neither answered nor refused.
func (v visitor) silence(t *testing.T, text string) {
	t.Helper()
	for range 3 { // an ICMP error is reported by the call after the one that caused it
		_, err := v.try(text, 50*time.Millisecond)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
}

func TestProxyKeepsFlowsApart(t *testing.T) {
	p := newProxy(t, echo(t, "127.0.0.1:0").LocalAddr().String())
	a, b := visit(t, p.Addr()), visit(t, p.Addr())
	first := a.ask(t, "x")
	require.Equal(t, first, a.ask(t, "x"), "a client's upstream address changes")
	require.NotEqual(t, first, b.ask(t, "x"), "two clients have one upstream address")
	require.NotContains(t, first, a.addr().String(), "the upstream answers past the proxy")
}

func TestProxyHidesICMPAndSurvivesTheUpstream(t *testing.T) {
	upstream := echo(t, "127.0.0.1:0")
	addr := upstream.LocalAddr().String()
	p := newProxy(t, addr)
	through, straight := visit(t, p.Addr()), visit(t, addr)
	before := through.ask(t, "x")
	straight.ask(t, "x")

	require.NoError(t, upstream.Close())
	through.silence(t, "anybody?")
	_, err := straight.try("anybody?", patience)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Log("this system reports no ICMP error: nothing is hidden")
	} else {
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the control: without the proxy the error is heard")
	}

	echo(t, addr)
	require.Equal(t, before, through.ask(t, "x"), "the flow did not survive the restart")
}

func TestProxyBlackHolesOneFlowForEver(t *testing.T) {
	p := newProxy(t, echo(t, "127.0.0.1:0").LocalAddr().String())
	a, b := visit(t, p.Addr()), visit(t, p.Addr())
	a.ask(t, "x")
	b.ask(t, "x")
	require.True(t, p.BlackHole(a.addr()))
	require.False(t, p.BlackHole(visit(t, p.Addr()).addr()), "a client that never sent has a flow")
	a.silence(t, "x")
	b.ask(t, "x")
	a.silence(t, "still?")
}

func TestProxyBlackHolesBothDirections(t *testing.T) {
	upstream, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer upstream.Close()
	p := newProxy(t, upstream.LocalAddr().String())
	a := visit(t, p.Addr())
	_, err = a.Write([]byte("x"))
	require.NoError(t, err)
	_, from, err := upstream.ReadFromUDPAddrPort(make([]byte, 10))
	require.NoError(t, err)
	require.Equal(t, 1, p.BlackHoleAll())
	_, err = upstream.WriteToUDPAddrPort([]byte("late"), from)
	require.NoError(t, err)
	a.silence(t, "x")
	require.NoError(t, upstream.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, _, err = upstream.ReadFromUDPAddrPort(make([]byte, 10))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the upstream still hears the client")
}

func TestProxyBlackHolesAllAndAdmitsNew(t *testing.T) {
	p := newProxy(t, echo(t, "127.0.0.1:0").LocalAddr().String())
	old := []visitor{visit(t, p.Addr()), visit(t, p.Addr())}
	for _, v := range old {
		v.ask(t, "x")
	}
	p.Admit(false)
	require.Equal(t, 2, p.BlackHoleAll())
	require.Zero(t, p.BlackHoleAll(), "they are dark already")
	fresh := visit(t, p.Addr())
	fresh.silence(t, "x")
	p.Admit(true)
	fresh.ask(t, "x")
	for _, v := range old {
		v.silence(t, "x")
	}
}

func TestProxyClosesTwice(t *testing.T) {
	p := newProxy(t, echo(t, "127.0.0.1:0").LocalAddr().String())
	visit(t, p.Addr()).ask(t, "x")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
}

func TestProxyRefusesABadUpstream(t *testing.T) {
	_, err := NewProxy("localhost")
	require.ErrorContains(t, err, "upstream")
}

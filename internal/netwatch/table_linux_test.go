package netwatch

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const eth = 7 // the index of an interface

// message builds one of the kernel's.
func message(kind uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, syscall.NLMSG_HDRLEN-len(b))...)
	b = append(b, body...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(syscall.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func link(kind uint16, family byte, flags uint32) []byte {
	body := make([]byte, syscall.SizeofIfInfomsg)
	body[0] = family
	binary.NativeEndian.PutUint32(body[4:], eth)
	binary.NativeEndian.PutUint32(body[8:], flags)
	return message(kind, append(body, attribute(syscall.IFLA_IFNAME, []byte("eth0\x00"))...))
}

func ifaddr(kind uint16, prefix string, flags, scope byte) []byte {
	p := netip.MustParsePrefix(prefix)
	family := byte(syscall.AF_INET)
	if p.Addr().Is6() {
		family = syscall.AF_INET6
	}
	body := []byte{family, byte(p.Bits()), flags, scope}
	body = binary.NativeEndian.AppendUint32(body, eth)
	body = append(body, attribute(syscall.IFA_ADDRESS, p.Addr().AsSlice())...)
	if family == syscall.AF_INET {
		body = append(body, attribute(syscall.IFA_LOCAL, p.Addr().AsSlice())...)
	}
	return message(kind, body)
}

func route(kind uint16, bits, typ byte, flags uint32) []byte {
	body := []byte{syscall.AF_INET, bits, 0, 0, syscall.RT_TABLE_MAIN, 3, 0, typ}
	return message(kind, binary.NativeEndian.AppendUint32(body, flags))
}

func empty() *table {
	return &table{links: make(map[int32]uint32), addresses: make(map[address]uint32)}
}

const (
	up   = syscall.IFF_UP
	runs = syscall.IFF_UP | syscall.IFF_RUNNING

	newLink, delLink   = syscall.RTM_NEWLINK, syscall.RTM_DELLINK
	newAddr, delAddr   = syscall.RTM_NEWADDR, syscall.RTM_DELADDR
	newRoute, delRoute = syscall.RTM_NEWROUTE, syscall.RTM_DELROUTE
)

func TestWhatIsAChange(t *testing.T) {
	type step struct {
		message []byte
		changes bool
	}
	for name, steps := range map[string][]step{
		"an address comes, is renewed, and goes": {
			{ifaddr(newAddr, "192.0.2.7/24", 0, 0), true},
			{ifaddr(newAddr, "192.0.2.7/24", 0, 0), false},
			{ifaddr(newAddr, "192.0.2.8/24", 0, 0), true},
			{ifaddr(delAddr, "192.0.2.7/24", 0, 0), true},
			{ifaddr(delAddr, "192.0.2.7/24", 0, 0), false},
		},
		"an IPv6 address becomes usable, and old": {
			{ifaddr(newAddr, "2001:db8::7/64", syscall.IFA_F_TENTATIVE, 0), true},
			{ifaddr(newAddr, "2001:db8::7/64", 0, 0), true},
			{ifaddr(newAddr, "2001:db8::7/64", syscall.IFA_F_TEMPORARY, 0), false},
			{ifaddr(newAddr, "2001:db8::7/64", syscall.IFA_F_DEPRECATED, 0), true},
		},
		"addresses that lead nowhere": {
			{ifaddr(newAddr, "fe80::7/64", 0, syscall.RT_SCOPE_LINK), false},
			{ifaddr(newAddr, "127.0.0.1/8", 0, syscall.RT_SCOPE_HOST), false},
			{ifaddr(newAddr, "127.0.0.2/8", 0, 0), false},
			{ifaddr(delAddr, "fe80::7/64", 0, syscall.RT_SCOPE_LINK), false},
		},
		"an interface with an address": {
			{link(newLink, 0, runs), false},
			{ifaddr(newAddr, "192.0.2.7/24", 0, 0), true},
			{link(newLink, 0, runs), false}, // statistics of a wireless one
			{link(newLink, 0, runs|syscall.IFF_PROMISC), false},
			{link(newLink, 0, up), true}, // the cable is out
			{link(newLink, 0, runs), true},
			{link(newLink, syscall.AF_BRIDGE, up), false},
			{link(newLink, 0, 0), true},
			{link(delLink, 0, 0), true},
		},
		"an interface without one": {
			{link(newLink, 0, runs), false},
			{link(newLink, 0, 0), false},
			{link(delLink, 0, 0), false},
		},
		"routes": {
			{route(newRoute, 0, syscall.RTN_UNICAST, 0), true},
			{route(delRoute, 0, syscall.RTN_UNICAST, 0), true},
			{route(newRoute, 24, syscall.RTN_UNICAST, 0), false},
			{route(newRoute, 0, syscall.RTN_LOCAL, 0), false},
			{route(newRoute, 0, syscall.RTN_UNICAST, 0x200), false},
		},
		"several in one": {
			{append(link(newLink, 0, runs), ifaddr(newAddr, "192.0.2.7/24", 0, 0)...), true},
			{append(link(newLink, 0, up), route(newRoute, 24, syscall.RTN_UNICAST, 0)...), true},
		},
		"something else": {
			{message(syscall.NLMSG_DONE, make([]byte, 4)), false},
			{message(syscall.RTM_NEWNEIGH, make([]byte, 40)), false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			known := empty()
			for i, s := range steps {
				require.Equal(t, s.changes, known.apply(s.message), "step %d", i)
			}
		})
	}
}

// recorded is what Linux 6.18 tells when 192.0.2.9/24 is added to an interface.
var recorded = []byte{
	0x4c, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0xf9, 0xe8, 0x08, 0x6b, 0xae, 0x6d, 0x00, 0x00,
	0x02, 0x18, 0x80, 0x00, 0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x01, 0x00, 0xc0, 0x00, 0x02, 0x09,
	0x08, 0x00, 0x02, 0x00, 0xc0, 0x00, 0x02, 0x09, 0x07, 0x00, 0x03, 0x00, 0x64, 0x31, 0x00, 0x00,
	0x08, 0x00, 0x08, 0x00, 0x80, 0x00, 0x00, 0x00, 0x14, 0x00, 0x06, 0x00, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0x73, 0x20, 0x05, 0x00, 0x73, 0x20, 0x05, 0x00,
}

func TestARecordedMessage(t *testing.T) {
	known := empty()
	require.True(t, known.apply(recorded))
	require.Equal(t, map[address]uint32{{link: 2, prefix: netip.MustParsePrefix("192.0.2.9/24")}: 0}, known.addresses)
}

func TestEveryPrefixOfAMessageIsHarmless(t *testing.T) {
	for name, m := range map[string][]byte{
		"link":    link(newLink, 0, runs),
		"address": ifaddr(newAddr, "2001:db8::7/64", 0, 0),
		"route":   route(newRoute, 0, syscall.RTN_UNICAST, 0),
	} {
		t.Run(name, func(t *testing.T) {
			for n := range m {
				require.False(t, empty().apply(m[:n]), "cut at %d", n)
				// And with a length that fits what is left.
				if n >= syscall.NLMSG_HDRLEN {
					short := append([]byte(nil), m[:n]...)
					binary.NativeEndian.PutUint32(short, uint32(n))
					empty().apply(short)
				}
			}
		})
	}
	bad := attribute(syscall.IFA_ADDRESS, []byte{1, 2, 3, 4})
	binary.NativeEndian.PutUint16(bad, 0)
	require.False(t, empty().apply(message(newAddr, append([]byte{2, 24, 0, 0, 7, 0, 0, 0}, bad...))))
}

func FuzzApply(f *testing.F) {
	f.Add(link(newLink, 0, runs))
	f.Add(ifaddr(newAddr, "192.0.2.7/24", 0, 0))
	f.Add(route(newRoute, 0, syscall.RTN_UNICAST, 0))
	f.Fuzz(func(t *testing.T, b []byte) { empty().apply(b) })
}

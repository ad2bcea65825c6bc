package netwatch

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"syscall"
)

// table is what we know of interfaces and addresses: the kernel tells again what it has
// told before, when a lease or a router's announcement is renewed, or a statistic.
type table struct {
	links     map[int32]uint32 // flags, by index
	addresses map[address]uint32
}

// address is one of an interface.
type address struct {
	link   int32
	prefix netip.Prefix
	peer   netip.Addr // the other end, point to point
}

// What of the flags changes whether a path works.
const (
	linkFlags    = syscall.IFF_UP | syscall.IFF_RUNNING
	addressFlags = syscall.IFA_F_DEPRECATED | syscall.IFA_F_TENTATIVE | dadFailed
	dadFailed    = 0x8 // IFA_F_DADFAILED
)

// load forgets everything and asks the kernel for what there is.
func (t *table) load() error {
	t.links, t.addresses = make(map[int32]uint32), make(map[address]uint32)
	for _, kind := range []int{syscall.RTM_GETLINK, syscall.RTM_GETADDR} {
		b, err := syscall.NetlinkRIB(kind, syscall.AF_UNSPEC)
		if err != nil {
			return fmt.Errorf("list interfaces: %w", os.NewSyscallError("netlink", err))
		}
		t.apply(b)
	}
	return nil
}

// apply takes one datagram of messages and says whether it changes a path.
func (t *table) apply(b []byte) bool {
	changed := false
	for len(b) >= syscall.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < syscall.NLMSG_HDRLEN || size > len(b) {
			break // cut off
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[syscall.NLMSG_HDRLEN:size]
		if t.message(kind, body) {
			changed = true
		}
		b = b[min(align(size), len(b)):]
	}
	return changed
}

func (t *table) message(kind uint16, body []byte) bool {
	switch kind {
	case syscall.RTM_NEWLINK, syscall.RTM_DELLINK:
		return t.link(body, kind == syscall.RTM_DELLINK)
	case syscall.RTM_NEWADDR, syscall.RTM_DELADDR:
		return t.address(body, kind == syscall.RTM_DELADDR)
	case syscall.RTM_NEWROUTE, syscall.RTM_DELROUTE:
		return defaultRoute(body)
	}
	return false
}

// link takes a struct ifinfomsg. An interface counts when it has an address: before that
// no path leads through it, and the address will be told of.
func (t *table) link(body []byte, gone bool) bool {
	if len(body) < syscall.SizeofIfInfomsg {
		return false
	}
	if body[0] != syscall.AF_UNSPEC { // a bridge about its port
		return false
	}
	index := int32(binary.NativeEndian.Uint32(body[4:]))
	flags := binary.NativeEndian.Uint32(body[8:]) & linkFlags
	was, known := t.links[index]
	if gone {
		delete(t.links, index)
	} else {
		t.links[index] = flags
	}
	return (gone || !known || was != flags) && t.used(index)
}

func (t *table) used(link int32) bool {
	for a := range t.addresses {
		if a.link == link {
			return true
		}
	}
	return false
}

// address takes a struct ifaddrmsg and its attributes.
func (t *table) address(body []byte, gone bool) bool {
	if len(body) < syscall.SizeofIfAddrmsg {
		return false
	}
	bits, flags, scope := int(body[1]), uint32(body[2]), body[3]
	if scope >= syscall.RT_SCOPE_LINK { // as far as the link, or this machine
		return false
	}
	a := address{link: int32(binary.NativeEndian.Uint32(body[4:]))}
	var local, other netip.Addr
	for kind, value := range attributes(body[syscall.SizeofIfAddrmsg:]) {
		switch kind {
		case syscall.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case syscall.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(value)
		}
	}
	if !local.IsValid() {
		local = other // IPv6 without a peer
	}
	if !local.IsValid() || local.IsLoopback() {
		return false
	}
	a.prefix = netip.PrefixFrom(local, bits)
	if other != local {
		a.peer = other
	}
	flags &= addressFlags
	was, known := t.addresses[a]
	if gone {
		delete(t.addresses, a)
		return known
	}
	t.addresses[a] = flags
	return !known || was != flags
}

// defaultRoute takes a struct rtmsg and says whether it is about the way to everywhere.
func defaultRoute(body []byte) bool {
	const cloned = 0x200 // RTM_F_CLONED: a cache entry
	if len(body) < syscall.SizeofRtMsg {
		return false
	}
	bits, kind, flags := body[1], body[7], binary.NativeEndian.Uint32(body[8:])
	return bits == 0 && kind == syscall.RTN_UNICAST && flags&cloned == 0
}

// attributes yields what follows the fixed part of a message, as far as it is whole.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	const typeMask = 0x3fff // two bits above are flags
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= syscall.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < syscall.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&typeMask, b[syscall.SizeofRtAttr:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// align rounds up to where the next message or attribute begins.
func align(size int) int { return (size + 3) &^ 3 }

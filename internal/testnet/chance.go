package testnet

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// chances are what may happen to each packet; the shares are of all packets.
type chances struct {
	loss    float64
	run     int // how many of a flow are lost in a row; at least 1
	twice   float64
	late    float64
	by      time.Duration // what is late is late by up to this
	corrupt float64
}

// flow is what one socket sends to another.
type flow struct{ from, to netip.AddrPort }

// luck is what chance does to one flow. Each has a generator of its own, so that the order
// in which sockets send at the same moment changes nothing.
type luck struct {
	*rand.Rand
	losing int // so many more are lost
}

// luckOf returns that of a flow. The caller holds mu.
func (n *Network) luckOf(from, to netip.AddrPort) *luck {
	f := flow{from, to}
	if n.flows[f] == nil {
		n.flows[f] = &luck{Rand: rand.New(rand.NewPCG(n.seed, word(from)<<32^word(to)))}
	}
	return n.flows[f]
}

// word tells addresses of this network apart.
func word(a netip.AddrPort) uint64 {
	b := a.Addr().As4()
	return uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(a.Port())
}

// loses decides whether chance loses a packet. The caller holds mu.
func (n *Network) loses(from, to netip.AddrPort) bool {
	if n.chances.loss == 0 {
		return false
	}
	l := n.luckOf(from, to)
	switch {
	case l.losing > 0:
		l.losing--
	case l.Float64() < n.chances.loss:
		l.losing = n.chances.run - 1
	default:
		return false
	}
	n.chance++
	return true
}

// disturb returns what becomes of a packet that is not lost: whether it comes twice, and by
// how much the one that chance picked is late. The caller holds mu.
func (n *Network) disturb(p simnet.Packet, from, to netip.AddrPort) (_ simnet.Packet, late time.Duration, twice bool) {
	c := n.chances
	if c.twice == 0 && c.late == 0 && c.corrupt == 0 {
		return p, 0, false
	}
	l := n.luckOf(from, to)
	if c.corrupt > 0 && l.Float64() < c.corrupt && len(p.Data) > 0 {
		p.Data = bytes.Clone(p.Data)
		p.Data[l.IntN(len(p.Data))] ^= byte(1 + l.IntN(255))
	}
	twice = c.twice > 0 && l.Float64() < c.twice
	if c.late > 0 && l.Float64() < c.late {
		late = time.Duration(1 + l.Int64N(int64(c.by)))
	}
	return p, late, twice
}

// Lose loses a share of all packets. Of what one socket sends to another the same ones
// are lost in each run.
func (n *Network) Lose(share float64) { n.LoseRuns(share, 1) }

// LoseRuns is Lose of so many packets of a flow in a row each time.
func (n *Network) LoseRuns(share float64, length int) {
	n.change(func(c *chances) { c.loss, c.run = share, length })
	if share == 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, l := range n.flows {
			l.losing = 0
		}
	}
}

// Duplicate lets a share of all packets come twice.
func (n *Network) Duplicate(share float64) {
	n.change(func(c *chances) { c.twice = share })
}

// Reorder lets a share of all packets be late by up to by, so that others overtake them.
func (n *Network) Reorder(share float64, by time.Duration) {
	n.change(func(c *chances) { c.late, c.by = share, by })
}

// Corrupt changes one byte in a share of all packets.
func (n *Network) Corrupt(share float64) {
	n.change(func(c *chances) { c.corrupt = share })
}

func (n *Network) change(f func(*chances)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.chances)
}

// MTU loses every packet of more bytes than that. Zero: what sockets take passes.
func (n *Network) MTU(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mtu = bytes
}

// Lost counts the packets that chance has lost.
func (n *Network) Lost() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.chance
}

// Reseed chooses to which packets chance does something.
func (n *Network) Reseed(seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seed = seed
	clear(n.flows)
}

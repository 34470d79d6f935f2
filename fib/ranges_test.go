package fib

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// The ranges must answer as a scan of all prefixes does, and lead up through those
// that cover a prefix, one by one.
func TestRangesAgainstScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 7, 60, 400} {
		for range 10 {
			sorted := somePrefixes(random, n)
			r := newRanges(sorted)
			found := table{nodes: sorted}
			for _, probe := range probes(random, sorted) {
				want := scan(sorted, probe, 33)
				if got := found.nodeOf(r.lookup(probe)); got != want {
					t.Fatalf("%v among %d prefixes: %v, want %v", probe, len(sorted), name(got), name(want))
				}
			}
			for i := range sorted {
				n := &sorted[i]
				if want := scan(sorted, n.prefix.Addr(), n.prefix.Bits()); n.up != want {
					t.Fatalf("above %v: %v, want %v", n.prefix, name(n.up), name(want))
				}
			}
		}
	}
}

func name(n *node) string {
	if n == nil {
		return "none"
	}
	return n.prefix.String()
}

// scan finds the longest prefix of fewer bits than a number that covers an address.
func scan(all []node, a netip.Addr, below int) (best *node) {
	for i := range all {
		n := &all[i]
		if n.prefix.Contains(a) && n.prefix.Bits() < below && (best == nil || n.prefix.Bits() > best.prefix.Bits()) {
			best = n
		}
	}
	return best
}

// somePrefixes returns different ones in order, many of which share an end.
func somePrefixes(random *rand.Rand, n int) []node {
	found := map[netip.Prefix]bool{}
	for range n {
		a := random.Uint32()
		switch random.IntN(4) {
		case 0:
			a |= 0xffffffff >> random.IntN(33)
		case 1:
			a &= 0x030000ff
		}
		p, _ := address4(a).Prefix(random.IntN(33))
		found[p] = true
	}
	var all []node
	for p := range found {
		all = append(all, node{prefix: p})
	}
	slices.SortFunc(all, func(a, b node) int { return a.prefix.Compare(b.prefix) })
	return all
}

func address4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// probes are the ends of the prefixes, what lies beside them, and others.
func probes(random *rand.Rand, all []node) []netip.Addr {
	probes := []netip.Addr{address4(0), address4(1<<32 - 1)}
	for _, n := range all[:min(len(all), 200)] {
		first, last := number4(n.prefix.Addr()), uint32(lastOf(n.prefix))
		for _, a := range []uint32{first, first - 1, last, last + 1} {
			probes = append(probes, address4(a))
		}
	}
	for range 50 {
		probes = append(probes, address4(random.Uint32()))
	}
	return probes
}

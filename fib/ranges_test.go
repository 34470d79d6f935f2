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
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{0, 1, 2, 7, 60, 400, 400, 2 * manyRanges} {
			for range max(1, 10-n/50) {
				found := &table{nodes: somePrefixes(random, n, v6)}
				if v6 {
					found.ranges6 = newRanges6(found.nodes)
				} else {
					found.ranges = newRanges(found.nodes)
				}
				againstScan(t, found, probes(random, found.nodes, v6))
			}
		}
	}
}

func againstScan(t *testing.T, found *table, probes []netip.Addr) {
	t.Helper()
	for _, probe := range probes {
		if got, want := found.lookup(probe), scan(found.nodes, probe, 129); got != want {
			t.Fatalf("%v among %d prefixes: %v, want %v", probe, len(found.nodes), name(got), name(want))
		}
	}
	for i := range found.nodes[:min(len(found.nodes), 400)] {
		n := &found.nodes[i]
		if want := scan(found.nodes, n.prefix.Addr(), n.prefix.Bits()); n.up != want {
			t.Fatalf("above %v: %v, want %v", n.prefix, name(n.up), name(want))
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
func somePrefixes(random *rand.Rand, n int, v6 bool) []node {
	found := map[netip.Prefix]bool{}
	for range n {
		a := someAddress(random, v6)
		p, _ := a.Prefix(random.IntN(a.BitLen() + 1))
		found[p] = true
	}
	var all []node
	for p := range found {
		all = append(all, node{prefix: p})
	}
	slices.SortFunc(all, func(a, b node) int { return a.prefix.Compare(b.prefix) })
	return all
}

// someAddress returns one of which the last bits or all but the first ones are often
// alike.
func someAddress(random *rand.Rand, v6 bool) netip.Addr {
	n := number{random.Uint64(), random.Uint64()}
	switch random.IntN(4) {
	case 0:
		high, low := masks6(uint8(random.IntN(129)))
		n.high, n.low = n.high|^high, n.low|^low
	case 1:
		n.high, n.low = n.high&0x03000000ff000001, n.low&3
	case 2:
		n.high = 0x2001<<48 | n.high&0xffffffff0000
	}
	return n.address(v6)
}

func (n number) address(v6 bool) netip.Addr {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.high), n.low)
	if v6 {
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// probes are the ends of the prefixes, what lies beside them, and others.
func probes(random *rand.Rand, all []node, v6 bool) []netip.Addr {
	probes := []netip.Addr{number{}.address(v6), number{1<<64 - 1, 1<<64 - 1}.address(v6)}
	for range min(len(all), 200) {
		p := all[random.IntN(len(all))].prefix
		first, last := p.Addr(), lastOf(p).address(v6)
		for _, a := range []netip.Addr{first, first.Prev(), last, last.Next()} {
			if a.IsValid() {
				probes = append(probes, a)
			}
		}
	}
	for range 50 {
		probes = append(probes, someAddress(random, v6))
	}
	return probes
}

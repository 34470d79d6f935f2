package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"rpdb"
)

// tables are the prefixes of a full internet routing table, by family.
type tables struct {
	prefixes map[rpdb.Family][]netip.Prefix
	source   string // a clause
}

// loadTables reads bgp-prefixes.txt.gz of a folder. Without it the prefixes are
// random ones of the same lengths.
func loadTables(dir string, scale int) (*tables, error) {
	t := &tables{prefixes: map[rpdb.Family][]netip.Prefix{}}
	f, err := os.Open(filepath.Join(dir, "bgp-prefixes.txt.gz"))
	switch {
	case err == nil:
		defer f.Close()
		t.source = "a real table of the internet"
		err = t.read(f)
	case errors.Is(err, fs.ErrNotExist):
		t.source = "random prefixes, as many of each length as a real table of the internet has"
		t.generate()
		err = nil
	}
	for family, all := range t.prefixes {
		t.prefixes[family] = thin(all, scale)
	}
	return t, err
}

func (t *tables) read(f *os.File) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		family := rpdb.FamilyOf(p.Addr())
		t.prefixes[family] = append(t.prefixes[family], p)
	}
	return lines.Err()
}

// thin takes every scale-th.
func thin(all []netip.Prefix, scale int) []netip.Prefix {
	if scale == 1 {
		return all
	}
	var some []netip.Prefix
	for i := 0; i < len(all); i += scale {
		some = append(some, all[i])
	}
	return some
}

// lengths returns how many prefixes of each length the real table has; lengths with
// less than ten are left out.
func lengths(f rpdb.Family) map[int]int {
	if f == rpdb.IPv4 {
		return map[int]int{
			8: 16, 9: 13, 10: 38, 11: 103, 12: 299, 13: 581, 14: 1203, 15: 2100, 16: 13490, 17: 8235, 18: 13798, 19: 24870,
			20: 42611, 21: 50750, 22: 108623, 23: 96510, 24: 537698, 25: 20, 27: 11, 28: 18, 29: 17, 32: 886,
		}
	}
	return map[int]int{
		20: 16, 24: 30, 26: 15, 27: 20, 28: 193, 29: 4371, 30: 650, 31: 284, 32: 22548, 33: 2926, 34: 2603, 35: 1043,
		36: 5996, 37: 880, 38: 1617, 39: 1377, 40: 13418, 41: 903, 42: 2301, 43: 1001, 44: 14365, 45: 1553, 46: 3039,
		47: 3153, 48: 75488, 49: 11, 56: 24, 58: 20, 64: 184, 126: 19, 127: 42,
	}
}

func (t *tables) generate() {
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range rpdb.Families() {
		seen := map[netip.Prefix]bool{}
		counts := lengths(f)
		for _, bits := range slices.Sorted(maps.Keys(counts)) {
			for n := counts[bits]; n > 0; {
				p := randomPrefix(random, f, bits)
				if !seen[p] {
					seen[p] = true
					n--
				}
			}
		}
		for p := range seen {
			t.prefixes[f] = append(t.prefixes[f], p)
		}
		slices.SortFunc(t.prefixes[f], netip.Prefix.Compare)
	}
}

// randomPrefix returns a prefix of 1.0.0.0 to 223.255.255.255 but 10, 127 and 192.0.2,
// or of 2400::/6, which no interface of the worlds has.
func randomPrefix(random *rand.Rand, f rpdb.Family, bits int) netip.Prefix {
	for {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], random.Uint64()&(1<<58-1)|0x24<<56)
		binary.BigEndian.PutUint64(b[8:], random.Uint64())
		addr := netip.AddrFrom16(b)
		if f == rpdb.IPv4 {
			addr = netip.AddrFrom4([4]byte{byte(1 + random.IntN(223)), b[1], b[2], b[3]})
		}
		p := netip.PrefixFrom(addr, bits).Masked()
		if f == rpdb.IPv6 || !slices.ContainsFunc(reserved(), p.Overlaps) {
			return p
		}
	}
}

// reserved are the networks of the worlds, of the sources of flows, and of no route.
func reserved() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24", "198.51.100.0/24"} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

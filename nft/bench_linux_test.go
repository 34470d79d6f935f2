package nft_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
)

// maps are n translations, each with a rule, a realm and blocks of its own.
func maps(kind rpdb.TranslationKind, n int) []rpdb.Translation {
	var all []rpdb.Translation
	for i := range n {
		block := func(first byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{first, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
		}
		all = append(all, rpdb.Translation{
			Family: rpdb.IPv4, Kind: kind, From: block(10), To: block(100), Inbound: true, Realm: uint16(i + 1), Rule: rpdb.Priority(i + 1),
		})
	}
	return all
}

// BenchmarkRead is what a snapshot costs for nf_tables.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		kind rpdb.TranslationKind
		n    int
	}{{rpdb.TranslateBlock, 0}, {rpdb.TranslateBlock, 10}, {rpdb.TranslateBlock, 1000}, {rpdb.TranslateStateless, 1000}, {rpdb.TranslateStateless, 5000}} {
		b.Run(fmt.Sprintf("%d-%v", c.n, c.kind), func(b *testing.B) {
			conn := filled(b, maps(c.kind, c.n))
			defer processor(b)()
			for b.Loop() {
				s, err := conn.Read(b.Context())
				if err != nil || len(s.Translations) != c.n || len(s.Unknown) > 0 {
					b.Fatalf("%d read, %q, %v", len(s.Translations), s.Unknown, err)
				}
			}
		})
	}
}

// BenchmarkOpenAndRead is the same with a connection of its own, as every look at a
// host has it.
func BenchmarkOpenAndRead(b *testing.B) {
	ns := kerneltest.Namespace(b)
	defer processor(b)()
	for b.Loop() {
		c, err := nft.Open(nft.Options{NetNS: ns.FD()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkReplace writes translations where others are, reading before and after.
func BenchmarkReplace(b *testing.B) {
	for _, c := range []struct {
		kind rpdb.TranslationKind
		n    int
	}{{rpdb.TranslateBlock, 10}, {rpdb.TranslateBlock, 1000}, {rpdb.TranslateStateless, 1000}, {rpdb.TranslateStateless, 5000}} {
		b.Run(fmt.Sprintf("%d-%v", c.n, c.kind), func(b *testing.B) {
			lists := [][]rpdb.Translation{maps(c.kind, c.n), maps(c.kind, c.n)}
			lists[1][0].Rule = 30000
			conn := filled(b, lists[0])
			defer processor(b)()
			for i := 1; b.Loop(); i++ {
				if err := conn.Replace(b.Context(), lists[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// processor reports the time that processors worked for each turn, in the kernel too:
// on a machine with other work the clock tells less.
func processor(b *testing.B) func() {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/1e6/float64(b.N), "cpu-ms/op") }
}

func filled(b *testing.B, list []rpdb.Translation) *nft.Conn {
	b.Helper()
	c, err := nft.Open(nft.Options{NetNS: kerneltest.Namespace(b).FD()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	if err := c.Replace(b.Context(), list); err != nil {
		b.Fatal(err)
	}
	return c
}

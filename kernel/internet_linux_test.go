package kernel

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// bgpFile names the environment variable of a file, compressed by gzip, that
// holds the prefixes of a full internet table, one a line.
const bgpFile = "RPDB_BGP_FILE"

// internetTable reads the prefixes of a family.
func internetTable(b *testing.B, f rpdb.Family) (prefixes []netip.Prefix) {
	path := os.Getenv(bgpFile)
	if path == "" {
		b.Skipf("%s names no file with the prefixes of the internet", bgpFile)
	}
	file, err := os.Open(path)
	must(b, err)
	defer file.Close()
	zip, err := gzip.NewReader(file)
	must(b, err)
	lines := bufio.NewScanner(zip)
	for lines.Scan() {
		p, err := netip.ParsePrefix(lines.Text())
		must(b, err)
		if rpdb.FamilyOf(p.Addr()) == f {
			prefixes = append(prefixes, p.Masked())
		}
	}
	must(b, lines.Err())
	return prefixes
}

// measured runs f as a benchmark of its own and tells, besides the time, what
// of the processor a route costs, the kernel's part included, and the memory
// that the process had at most.
func measured(b *testing.B, name string, routes int, f func(b *testing.B)) {
	b.Run(name, func(b *testing.B) {
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // begins the greatest size anew
		before := processorTime(b)
		for b.Loop() {
			f(b)
		}
		b.ReportMetric(float64(processorTime(b)-before)/float64(b.N*routes), "cpu-ns/route")
		b.ReportMetric(residentMB(b), "peak-MB")
	})
}

// processorTime returns the nanoseconds that the process has used, on its own
// and in the kernel.
func processorTime(b *testing.B) int64 {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

// residentMB returns the greatest resident size of the process.
func residentMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	must(b, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	must(b, err)
	return kb / 1024
}

// BenchmarkInternet loads, lists, saves, flushes and restores a full table of
// each family. Use -benchtime 1x: each takes seconds, and what is loaded twice is
// refused.
func BenchmarkInternet(b *testing.B) {
	for _, f := range rpdb.Families() {
		prefixes := internetTable(b, f)
		b.Run(fmt.Sprint(f), func(b *testing.B) { internet(b, f, prefixes) })
	}
}

func internet(b *testing.B, f rpdb.Family, prefixes []netip.Prefix) {
	ns, c := uplinks(b)
	s := openSocket(b, ns)
	eth0 := index(b, c, "eth0")
	n := len(prefixes)
	var saved SavedRoutes
	measured(b, "load", n, func(b *testing.B) {
		var batch netlink.Batch
		for i, p := range prefixes {
			r := numbered(f, 0, eth0)
			r.Dst = p
			must(b, batch.Add(encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r)))
			if batch.Len() == restoreBatch || i == n-1 {
				_, err := c.nl.ExecuteBatch(b.Context(), &batch, func(_ int, err error) error { return err })
				must(b, err)
				batch.Reset()
			}
		}
	})
	measured(b, "list", n, func(b *testing.B) {
		seen := 0
		_, err := s.ListRoutes(b.Context(), dumpPayload(f, 100), func(RouteMessage) error { seen++; return nil })
		must(b, err)
		if seen != n {
			b.Fatalf("%d routes of %d", seen, n)
		}
	})
	measured(b, "save", n, func(b *testing.B) {
		saved = SavedRoutes{}
		_, err := s.ListRoutes(b.Context(), dumpPayload(f, 100), func(m RouteMessage) error {
			return saved.Add(m.Type, 0, m.Payload)
		})
		must(b, err)
	})
	all := func(RouteMessage) bool { return true }
	measured(b, "flush", n, func(b *testing.B) {
		rounds, err := s.FlushRoutes(b.Context(), dumpPayload(f, 100), all)
		if err != nil || len(rounds) != 1 || rounds[0] != n {
			b.Fatalf("%v, %v", rounds, err)
		}
	})
	measured(b, "restore", n, func(b *testing.B) {
		done, err := c.RestoreRoutes(b.Context(), &saved)
		if err != nil || done.Added != n {
			b.Fatalf("%+v, %v", done, err)
		}
	})
	measured(b, "restore again", n, func(b *testing.B) {
		done, err := c.RestoreRoutes(b.Context(), &saved)
		if err != nil || done.There != n {
			b.Fatalf("%+v, %v", done, err)
		}
	})
}

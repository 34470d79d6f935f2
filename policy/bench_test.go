package policy

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
)

// largePolicy returns a document of many rules.
func largePolicy(rules int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range rules {
		fmt.Fprintf(&b, "  - name: r%d\n    from: 10.%d.%d.0/24\n    fwmark: %#x/0xffff\n    lookup: main\n", i, i>>8, i&255, i+1)
	}
	return b.String()
}

// BenchmarkParse reads a small document, where the key table counts, and the
// largest that is allowed.
func BenchmarkParse(b *testing.B) {
	small := "uplinks: [{interface: eth0, gateways: [192.168.0.1]}]\n"
	for name, text := range map[string]string{"small": small, "large": largePolicy(maxRules)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				d, err := Parse("p.yaml", []byte(text))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Resolve(&rpdb.Snapshot{}, rpdb.Names{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAdoptInto adds a rule to a document of many lines, of which its time must
// not grow with the square.
func BenchmarkAdoptInto(b *testing.B) {
	made := rpdb.Rule{Family: rpdb.IPv4, Priority: 1000, Protocol: rpdb.ProtocolBoot, Action: rpdb.ToTable(rpdb.TableMain)}
	host := &rpdb.Snapshot{Rules: append(rpdb.DefaultRules(rpdb.IPv4), made)}
	for _, comments := range []int{1000, 100_000} {
		text := largePolicy(1000) + strings.Repeat("#\n", comments)
		b.Run(fmt.Sprint(comments), func(b *testing.B) {
			for b.Loop() {
				m, err := AdoptInto("p.yaml", []byte(text), host, rpdb.Names{}, Adoption{Rules: []rpdb.Rule{made}})
				if err != nil || len(m.Rules) != 1 {
					b.Fatal(m.Rules, err)
				}
			}
		})
	}
}

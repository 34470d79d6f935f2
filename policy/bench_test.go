package policy

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
)

// BenchmarkParse reads a small document, where the key table counts, and the
// largest that is allowed.
func BenchmarkParse(b *testing.B) {
	small := "uplinks: [{interface: eth0, gateways: [192.168.0.1]}]\n"
	var large strings.Builder
	large.WriteString("rules:\n")
	for i := range maxRules {
		fmt.Fprintf(&large, "  - name: r%d\n    from: 10.%d.%d.0/24\n    fwmark: %#x/0xffff\n    lookup: main\n", i, i>>8, i&255, i+1)
	}
	for name, text := range map[string]string{"small": small, "large": large.String()} {
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

package cli

import (
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"rpdb"
	"rpdb/policy"
)

// TestInitOfAnyName: whatever the interface is called, the policy names it, in
// YAML and in JSON, and no control character is printed.
func TestInitOfAnyName(t *testing.T) {
	for _, name := range []rpdb.LinkName{"eth0", "no", "123", "0x10", "a,b", "{x}", "#1", `a"b\'`, "\x1b[31m", "~", "-", "e\u00e9", "\x7f", "\u009b2J", "\u2028", "\U0001f600", "main"} {
		s := &rpdb.Snapshot{
			Rules:     rpdb.DefaultRules(rpdb.IPv4),
			Links:     []rpdb.Link{{Index: 2, Name: name, Flags: rpdb.LinkUp}},
			Addresses: []rpdb.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.10/24")}},
			Routes: []rpdb.Route{{
				Family: rpdb.IPv4, Table: rpdb.TableMain, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast,
				Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.MustParseAddr("192.0.2.1")}},
			}},
		}
		for _, args := range [][]string{{"init"}, {"init", "--json"}} {
			code, out, errs := call(t, s, args...)
			doc, err := policy.Parse("policy", []byte(out))
			if code != exitOK || err != nil || strings.ContainsFunc(out+errs, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%q of %q: exit code %d, %v\n%q\n%q", args, name, code, err, out, errs)
				continue
			}
			if len(doc.Uplinks) != 1 || doc.Uplinks[0].Interface != name || doc.Uplinks[0].Gateways[0].Value.Addr != netip.MustParseAddr("192.0.2.1") {
				t.Errorf("%q of %q: uplinks %v\n%s", args, name, doc.Uplinks, out)
			}
		}
	}
}

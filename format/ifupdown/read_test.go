package ifupdown_test

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/ifupdown"
	"rpdb/internal/formattest"
)

// says is what files mean: rules, routes, addresses.
func says(t *testing.T, files ...format.File) string {
	t.Helper()
	s, _, err := ifupdown.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(formattest.Meaning(s), formattest.Addresses(s)...), "\n")
}

func file(path, text string) format.File { return format.File{Path: path, Text: text} }

func TestHowto(t *testing.T) {
	got := says(t, file("/etc/iproute2/rt_tables", "1 rt2\n"), file("/etc/network/interfaces", `
# The loopback network interface
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback

allow-hotplug eth1
iface eth1 inet static
    address 10.10.0.10
    netmask 255.255.255.0
    post-up ip route add 10.10.0.0/24 dev eth1 src 10.10.0.10 table rt2
    post-up ip route add default via 10.10.0.1 dev $IFACE table rt2
    post-up ip rule add from 10.10.0.10/32 table rt2
    post-up ip rule add to 10.10.0.10/32 table rt2
    dns-nameservers 10.10.0.1
`))
	want := strings.TrimSpace(`
ip -4 rule add pref 32764 to 10.10.0.10 lookup 1
ip -4 rule add pref 32765 from 10.10.0.10 lookup 1
ip -4 route add 10.10.0.0/24 dev eth1 src 10.10.0.10 table 1
ip -4 route add default via 10.10.0.1 dev eth1 table 1
10.10.0.10/24 dev eth1`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestNameOfInterface: a shell takes the longest name of a variable.
func TestNameOfInterface(t *testing.T) {
	for word, want := range map[string]string{
		"$IFACE": "e0", "${IFACE}x": "e0x", "$IFACE.5": "e0.5", `"$IFACE"x`: "e0x", `"a-$IFACE-$IFACE"`: "a-e0-e0",
		"$IFACEx": "", `"$IFACE_1"`: "", "$IFACE$X": "", `"${IFACE"`: "", `"${IFACE:-x}"`: "",
	} {
		f := file("interfaces", "iface e0 inet manual\nup ip rule add pref 5 iif "+word+" lookup 7\n")
		if want == "" {
			if _, _, err := ifupdown.Read([]format.File{f}); err == nil || !strings.Contains(err.Error(), "only $IFACE is understood") {
				t.Errorf("%s: %v", word, err)
			}
		} else if got := says(t, f); got != "ip -4 rule add pref 5 iif "+want+" lookup 7" {
			t.Errorf("%s: %s", word, got)
		}
	}
}

// TestBackslashesAlone: lines that are empty once they are joined say nothing.
func TestBackslashesAlone(t *testing.T) {
	const stanza = "iface eth0 inet manual\n  \\\n  \nup ip rule add pref 5 lookup 7\n \\"
	for _, before := range []string{"\\\n\n", "\\\n", " \\\n\\\n \n"} {
		if got := says(t, file("interfaces", before+stanza)); got != "ip -4 rule add pref 5 lookup 7" {
			t.Errorf("%q: got %s", before, got)
		}
	}
}

// The stanzas that people write, with everything that makes them idempotent.
const careful = `
auto eth0
iface eth0 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
    metric 100
    up   ip -4 route replace 192.0.2.0/24 dev eth0 src 192.0.2.10 scope link table 101
    up   ip -4 route replace default via 192.0.2.1 dev eth0 table 101
    up   ip -4 rule del priority 1000 table main suppress_prefixlength 0 2>/dev/null || true
    up   ip -4 rule add priority 1000 table main suppress_prefixlength 0
    up   ip -4 rule del priority 1010 from 192.0.2.10 table 101 2> /dev/null || true; \
         ip -4 rule add priority 1010 from 192.0.2.10 table 101
    down ip -4 rule del priority 1010 from 192.0.2.10 table 101 || true
    down ip -4 rule del priority 1000 table main suppress_prefixlength 0 || true
    down ip -4 route flush table 101 || true

iface eth0 inet6 static
    address 2001:db8:a::10/64
    gateway 2001:db8:a::1
    metric 100
    dad-attempts 0
    up   ip -6 route replace default via 2001:db8:a::1 dev eth0 table 101 && /sbin/ip -6 rule add pref 1010 from 2001:db8:a::10 table 101
    pre-down ip -6 rule del pref 1010
    down ip -6 route flush table 101 || :

iface eth1 inet dhcp
    up   ip link set dev eth1 mtu 1400
    up   ip -4 rule del priority 1000 table main suppress_prefixlength 0 2>/dev/null || true
    up   ip -4 rule add priority 1000 table main suppress_prefixlength 0
    down ip -4 rule del priority 1000
`

func TestCarefulStanzas(t *testing.T) {
	want := strings.TrimSpace(`
ip -4 rule add pref 1000 lookup main suppress_prefixlength 0
ip -4 rule add pref 1010 from 192.0.2.10 lookup 101
ip -6 rule add pref 1010 from 2001:db8:a::10 lookup 101
ip -4 route add 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101
ip -4 route add default via 192.0.2.1 dev eth0 onlink metric 100
ip -4 route add default via 192.0.2.1 dev eth0 table 101
ip -6 route add default via 2001:db8:a::1 dev eth0 metric 1024 table 101
ip -6 route add default via 2001:db8:a::1 dev eth0 onlink metric 100
192.0.2.10/24 dev eth0
2001:db8:a::10/64 dev eth0`)
	if got := says(t, file("interfaces", careful)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFilesAreReadWhereTheyAreNamed(t *testing.T) {
	rule := func(n string) string { return "iface lo inet manual\nup ip rule add lookup " + n + "\n" }
	got := says(t,
		file("/etc/network/late", rule("3")),
		file("/etc/network/interfaces.d/b", rule("2")),
		file("/etc/network/interfaces", "source interfaces.d/*\nsource /etc/network/late\n"+rule("4")),
		file("/etc/network/interfaces.d/a", rule("1")),
	)
	want := "ip -4 rule add pref 32762 lookup 4\nip -4 rule add pref 32763 lookup 3\nip -4 rule add pref 32764 lookup 2\nip -4 rule add pref 32765 lookup 1"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	main, ok := file("/e/interfaces", "source-directory d\n"), file("/e/d/ok_1", rule("1"))
	if got, want := says(t, main, ok), "ip -4 rule add pref 32765 lookup 1"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, _, err := ifupdown.Read([]format.File{main, ok, file("/e/d/not.read", rule("2"))})
	if want := `/e/interfaces:1: source-directory "/e/d/not.read": ifupdown does not read a file with such a name: letters, digits, _ and - may be in it`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestErrors(t *testing.T) {
	const manual = "iface eth0 inet manual\n"
	for text, want := range map[string]string{
		manual + "up ip rule add pref 5 lookup 7\nup ip rule add pref 5 lookup 7": `i:3: up "ip rule add pref 5 lookup 7": it is there already, and ip would fail`,
		manual + "up ip rule del pref 5":                                          `i:2: up "ip rule del pref 5": there is no such thing to delete`,
		manual + "down ip rule del pref 5 || true":                                `i:2: down "ip rule del pref 5": it takes away what the interface has not made`,
		manual + "down ip rule add pref 5 lookup 7":                               `i:2: down "ip rule add pref 5 lookup 7": a line for down that adds something is not understood`,
		manual + "up iptables -A INPUT -j DROP":                                   `i:2: up "iptables -A INPUT -j DROP": what the program "iptables" does is not known: only ip is`,
		manual + "up ip rule add pref 5 lookup 7 || exit":                         `i:2: up "ip rule add pref 5 lookup 7 || exit": what happens behind || depends on what fails: only || true is understood`,
		manual + "up ip rule add pref 5 from $(cat a)":                            `i:2: up "ip rule add pref 5 from $(cat a)": of what a shell replaces, only $IFACE is understood: "$(cat"`,
		manual + "up ip rule add pref 5 lookup 7 > /tmp/x":                        `i:2: up "ip rule add pref 5 lookup 7 > /tmp/x": what a shell makes of ">" is not understood here`,
		manual + "up ip -n blue rule add pref 5 lookup 7":                         `i:2: up "ip -n blue rule add pref 5 lookup 7": the option "-n" of ip is not understood here`,
		manual + "up ip rule add 'pref":                                           `i:2: up "ip rule add 'pref": quotation without end`,
		manual + "up && ip":                                                       `i:2: up "&& ip": a command is missing`,
		manual + "up":                                                             `i:2: up: a command is missing`,
		manual + "vrf-table 5":                                                    `i:2: option "vrf-table": what it does to an interface of method manual is not understood`,
		manual + "address 10.0.0.1/8":                                             `i:2: option "address": what it does to an interface of method manual is not understood`,
		"\niface eth0 inet static":                                                `i:2: iface "eth0": the method static needs an address`,
		"iface eth0 inet static\naddress 10.0.0.1":                                `i:2: address "10.0.0.1": the length of its network is missing`,
		"iface eth0 inet6 static\naddress 10.0.0.1/8":                             `i:2: address "10.0.0.1/8": it is no address of IPv6`,
		"iface eth0 inet static\naddress 10.0.0.1\nnetmask 255.0.255.0":           `i:2: address "10.0.0.1": "10.0.0.1/255.0.255.0" is no address with the length of its network`,
		"iface eth0 inet ppp":                                                     `i:1: method "ppp": only static, dhcp, manual, loopback and auto are understood`,
		"iface eth0 can static":                                                   `i:1: family "can": only inet and inet6 are understood`,
		"iface eth0 inet dhcp inherits a":                                         `i:1: iface " eth0 inet dhcp inherits a": an interface, a family and a method are expected, and nothing else`,
		"iface eth/0 inet dhcp":                                                   `i:1: interface "eth/0": it is no name of an interface`,
		"mapping eth0\nscript /x":                                                 "i:1: mapping: which stanza an interface has depends on the host: it is not understood\n" + `i:2: option "script": it is in no stanza that is understood`,
		"auto eth0\nup ip rule add table 5":                                       `i:2: option "up": it is in no stanza that is understood`,
		"source other":                                                            `i:1: source "other": this file is not among those that were given`,
		"source":                                                                  `i:1: source: a file is missing behind it`,
		"source i":                                                                `i: source: only files that this one names name it`,
	} {
		_, _, err := ifupdown.Read([]format.File{file("i", text+"\n")})
		if err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestOthersThingsAreNotTakenAway(t *testing.T) {
	_, _, err := ifupdown.Read([]format.File{file("i", "iface a inet manual\nup ip rule add pref 5 lookup 7\niface b inet manual\ndown ip rule del pref 5\n")})
	if want := `i:4: down "ip rule del pref 5": it takes away rule 5 (IPv4), which another interface has made`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestNamesAreReturned(t *testing.T) {
	_, names, err := ifupdown.Read([]format.File{file("/etc/iproute2/rt_tables.d/a.conf", "7 seven\n")})
	if err != nil || names.Tables[rpdb.TableID(7)] != "seven" {
		t.Errorf("%v, %v", names, err)
	}
}

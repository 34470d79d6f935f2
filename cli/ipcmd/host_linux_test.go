package ipcmd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
)

// host is what a namespace has before the first command. The zero value is a
// new namespace as it is.
type host struct {
	settings string // lines of a path below /proc/sys/net and a value
	// links are made one after the other, since what the kernel does about a link
	// that comes up it does a little later.
	links int
	// any and ipv6 are batches of the real ip, the second with -6.
	any, ipv6 string
}

// make makes the host.
func (h host) make(s side) (err error) {
	s.do(func() {
		for line := range strings.Lines(h.settings) {
			path, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if err == nil {
				err = os.WriteFile("/proc/sys/net/"+path, []byte(value), 0)
			}
		}
	})
	batch := func(text string, options ...string) {
		if text == "" || err != nil {
			return
		}
		if o := s.real(command{args: append(options, "-batch", "-"), stdin: text}); o.code != 0 {
			err = fmt.Errorf("make a host: %v", o)
		}
	}
	for i := range h.links {
		if batch(linkCommands(i)); err != nil {
			return err
		}
		h.settle(s, linkNames(i))
	}
	batch(h.any)
	batch(h.ipv6, "-6")
	return err
}

// linkNames are the link of a host and its peer, if both come up.
func linkNames(i int) []string {
	if i > 1 {
		return nil
	}
	return []string{string(rune('v'+i)) + "0", string(rune('v'+i)) + "1"}
}

// linkCommands makes the link v0, w0 or x0 of a host with routes, with a peer
// that answers nothing. That of x0 is down.
func linkCommands(i int) string {
	name, peer := string(rune('v'+i))+"0", string(rune('v'+i))+"1"
	var b strings.Builder
	if i == 0 {
		b.WriteString("link set lo up\n")
	}
	fmt.Fprintf(&b, "link add %s address 02:00:00:00:%02d:01 type veth peer name %s address 02:00:00:00:%02d:02\n", name, i, peer, i)
	if name != "x0" {
		fmt.Fprintf(&b, "link set %s up\n", peer)
	}
	fmt.Fprintf(&b, "link set %s up\naddr add 10.0.%d.1/24 dev %s\n", name, i, name)
	for _, a := range []string{fmt.Sprintf("2001:db8:%d::1/64", i), "fe80::1/64"} {
		fmt.Fprintf(&b, "addr add %s dev %s nodad\n", a, name)
	}
	return b.String()
}

// settle waits until the links that can come up have, and nothing has changed for a
// while. On a busy machine the former takes longer than any while.
func (host) settle(s side, up []string) {
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		now := routeState(s, rpdb.IPv6)
		if now == last && !slices.ContainsFunc(up, func(link string) bool { return !hasMulticast(s, link) }) {
			return
		}
		last = now
	}
}

// hasMulticast reports whether a link has the route of IPv6 multicast, which is the
// last that the kernel makes for one that has come up.
func hasMulticast(s side, link string) bool {
	var table []byte
	s.do(func() { table, _ = os.ReadFile("/proc/thread-self/net/ipv6_route") })
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "ff00") && f[1] == "08" && f[len(f)-1] == link {
			return true
		}
	}
	return false
}

// routeHost has two links that are up, one without carrier, nexthop objects and
// rules that lead to tables. Nothing in it depends on time or chance.
func routeHost() host {
	return host{
		settings: "ipv4/ip_forward 1\nipv6/conf/all/forwarding 1\nipv6/conf/default/addr_gen_mode 1\n",
		links:    3,
		any: `nexthop add id 10 via 10.0.0.5 dev v0
nexthop add id 11 via 10.0.1.5 dev w0
nexthop add id 12 group 10,2/11
nexthop add id 13 blackhole
nexthop add id 14 dev v0
nexthop add id 15 via fe80::7 dev v0
nexthop add id 16 via 10.0.1.6 dev w0 onlink
nexthop add id 20 via fe80::5 dev v0
nexthop add id 21 via 2001:db8:1::5 dev w0
nexthop add id 22 group 20/21,3
rule add pref 100 fwmark 1 lookup 100
rule add pref 101 from 10.0.1.1 lookup 200
rule add pref 102 ipproto tcp dport 80 lookup 1000
rule add pref 104 fwmark 0x20 unreachable
route add default via 10.0.0.254 dev v0
route add default via 10.0.1.254 dev w0 table 100 onlink
route add 192.0.2.0/24 via 10.0.1.2 dev w0 table 200
`,
		ipv6: `nexthop add id 23 blackhole
rule add pref 100 fwmark 1 lookup 100
rule add pref 101 from 2001:db8:1::1 lookup 200
rule add pref 102 ipproto tcp dport 80 lookup 1000
rule add pref 104 fwmark 0x20 prohibit
route add default via 2001:db8::fe dev v0
route add default via fe80::2 dev w0 table 100
route add 2001:db8:5::/48 via 2001:db8:1::2 dev w0 table 200
`,
	}
}

// routeState is what a kernel has: the messages of all routes of a family,
// without what counts and what runs.
func routeState(s side, f rpdb.Family) string {
	var dump []byte
	var err error
	s.do(func() { dump, err = syscall.NetlinkRIB(unix.RTM_GETROUTE, int(f)) })
	if err != nil {
		return err.Error()
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, m := range messages {
		if m.Header.Type == unix.RTM_NEWROUTE {
			stopClock(m.Data[unix.SizeofRtMsg:])
			fmt.Fprintf(&b, "%x\n", m.Data)
		}
	}
	return b.String()
}

// stopClock clears what of the attributes of a route counts its use and what is
// left of its time.
func stopClock(attributes []byte) {
	for len(attributes) >= unix.SizeofRtAttr {
		n := binary.NativeEndian.Uint16(attributes)
		if n < unix.SizeofRtAttr || int(n) > len(attributes) {
			return
		}
		if value := attributes[unix.SizeofRtAttr:n]; binary.NativeEndian.Uint16(attributes[2:]) == unix.RTA_CACHEINFO && len(value) == 32 {
			endless := bytes.Equal(value[8:12], make([]byte, 4))
			clear(value[:12]) // rta_clntref, rta_lastuse, rta_expires
			clear(value[16:]) // all behind rta_error
			if !endless {
				value[8] = 1
			}
		}
		attributes = attributes[min((int(n)+3)&^3, len(attributes)):]
	}
}

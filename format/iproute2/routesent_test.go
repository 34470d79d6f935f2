package iproute2_test

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// sent is what iproute2 7.2 was seen to send for commands about routes, or to
// complain, on a host with the interfaces of sentLinks: a library in front of
// its sendmsg wrote the messages down. 7.1 differs in nothing of it.
//
//go:embed testdata/route-commands.txt
var sent string

var sentLinks = map[rpdb.LinkName]rpdb.LinkIndex{"lo": 1, "v1": 2, "v0": 3, "d1": 4, "d0": 5}

// Every command is sent, or complained about, byte for byte as ip does.
func TestRouteCommandsAsSent(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the messages were written down on a little-endian machine")
	}
	n := 0
	for _, part := range strings.Split(sent, "$ ip ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		if got := sentFor(t, strings.Fields(command)); got != strings.TrimRight(want, "\n") {
			t.Errorf("ip %s\n got %s\nwant %s", command, got, want)
		}
		n++
	}
	if n < 500 {
		t.Errorf("%d commands", n)
	}
}

// sentFor returns the message for a command, or the complaint.
func sentFor(t *testing.T, words []string) string {
	t.Helper()
	c := iproute2.RouteContext{Names: shipped(), LinkIndex: func(n rpdb.LinkName) (rpdb.LinkIndex, bool) {
		i, ok := sentLinks[n]
		return i, ok
	}}
	families := map[string]rpdb.Family{"-4": rpdb.IPv4, "-6": rpdb.IPv6, "-M": 28, "-B": 7, "-0": 17}
	if f, ok := families[words[0]]; ok {
		c.Family, words = f, words[1:]
	}
	warnings, message, err := sentMessage(c, words[1], words[2:])
	var p *iproute2.ParseError
	if errors.As(err, &p) {
		text := strings.Replace(p.Stderr(), iproute2.RouteHelp(), "USAGE", 1)
		return fmt.Sprintf("%d %s", p.ExitCode(), strings.TrimRight(text, "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(warnings, message), "\n")
}

func sentMessage(c iproute2.RouteContext, word string, words []string) (warnings []string, message string, err error) {
	v, err := iproute2.ParseRouteVerb(word)
	switch {
	case err != nil:
		return nil, "", err
	case v == iproute2.RouteGet:
		g, err := c.ParseGet(words)
		return g.Warnings(), "get " + spelled(g.Payload()), err
	case v == iproute2.RouteList || v == iproute2.RouteFlush:
		f, err := c.ParseRouteFilter(v, words)
		return nil, "dump " + spelled(f.Dump()), err
	}
	q, err := c.ParseRequest(v, words)
	typ := "new"
	if q.Deletes() {
		typ = "del"
	}
	return q.Warnings(), fmt.Sprintf("%s %#x %s", typ, q.Flags(), spelled(q.Payload())), err
}

// attrNames spell the attributes of a route, and those of its metrics.
var attrNames = map[int]string{
	1: "dst", 2: "src", 3: "iif", 4: "oif", 5: "gateway", 6: "priority", 7: "prefsrc", 8: "metrics", 9: "multipath", 11: "flow",
	15: "table", 16: "mark", 18: "via", 19: "newdst", 20: "pref", 21: "encaptype", 22 | 0x8000: "encap", 23: "expires", 25: "uid",
	26: "ttl", 27: "ipproto", 28: "sport", 29: "dport", 30: "nhid", 31: "flowlabel",
}

// spelled writes a payload out: the header, then each attribute by its name.
func spelled(payload []byte) string {
	const head = 12
	var b strings.Builder
	b.WriteString(hex.EncodeToString(payload[:head]))
	for rest := payload[head:]; len(rest) >= 4; {
		n, typ := int(binary.NativeEndian.Uint16(rest)), int(binary.NativeEndian.Uint16(rest[2:]))
		fmt.Fprintf(&b, " %s=%s", attrNames[typ], hex.EncodeToString(rest[4:n]))
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return b.String()
}

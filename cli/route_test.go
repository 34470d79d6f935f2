package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/kernel/kerneltest"
)

// onHost runs a command line on a host and returns what it printed.
func onHost(t *testing.T, host *kerneltest.Kernel, in io.Reader, line string) (out, complaint string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := append([]string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), host.NetNS().FD())}, strings.Fields(line)...)
	code = Run(t.Context(), args, Streams{In: in, Out: &stdout, Err: &stderr})
	return stdout.String(), stderr.String(), code
}

// A stream that stops in the middle says where, and changes nothing.
func TestRouteRestoreSaysWhere(t *testing.T) {
	host, _ := completionHost(t)
	stream, _, code := onHost(t, host, nil, "route -4 save table all")
	if code != exitOK {
		t.Fatal("save failed")
	}
	before, _, _ := onHost(t, host, nil, "route list table all")
	if _, complaint, code := onHost(t, host, nil, "route -4 flush default"); code != exitOK {
		t.Fatal(complaint)
	}
	_, complaint, code := onHost(t, host, strings.NewReader(stream[:len(stream)-7]), "route restore")
	if code != exitFailed || !strings.HasPrefix(complaint, "rpdb: route restore: message ") || !strings.Contains(complaint, " at byte ") {
		t.Errorf("cut short: code %d, %q", code, complaint)
	}
	if out, _, _ := onHost(t, host, nil, "route -4 list default"); out != "" {
		t.Errorf("something was restored: %q", out)
	}
	if _, complaint, code := onHost(t, host, strings.NewReader(stream), "route restore"); code != exitOK {
		t.Errorf("whole: %q", complaint)
	}
	if after, _, _ := onHost(t, host, nil, "route list table all"); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// What was begun ends with its context.
func TestRouteListIsInterrupted(t *testing.T) {
	_, ns := completionHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, line := range []string{"route list", "route get 192.0.2.1", "route flush table 7", "route save"} {
		args := append([]string{"-n", ns}, strings.Fields(line)...)
		if code := Run(ctx, args, Streams{Out: io.Discard, Err: io.Discard}); code != exitFailed {
			t.Errorf("%s: exit code %d", line, code)
		}
	}
}

// A table of any length is printed in the same memory.
func TestPrintingRoutesAllocatesNothing(t *testing.T) {
	v := iproute2.RouteView{Family: true, LinkName: func(rpdb.LinkIndex) rpdb.LinkName { return "eth0" }}
	e := iproute2.RouteEntry{Route: rpdb.Route{
		Family: rpdb.IPv4, Table: rpdb.TableMain, Dst: netip.MustParsePrefix("192.0.2.0/24"), Type: rpdb.RouteUnicast,
		Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("198.51.100.1"), Link: 2}},
	}}
	text := &routePrinter{lister: iproute2.NewRouteLister(v), text: bufio.NewWriter(io.Discard)}
	v.Exact = true
	json := &routePrinter{lister: iproute2.NewRouteLister(v), json: ipjson.NewWriter(io.Discard, false)}
	for name, p := range map[string]struct {
		*routePrinter
		limit float64
	}{"text": {text, 0}, "json": {json, 2}} {
		got := testing.AllocsPerRun(100, func() {
			if err := p.print(&e); err != nil {
				t.Error(err)
			}
		})
		if got > p.limit {
			t.Errorf("%s: %v allocations for a route", name, got)
		}
	}
}

// decisionWorld is a host whose rules send marked packets another way.
func decisionWorld() *rpdb.Snapshot {
	toward := func(table rpdb.TableID, via string) rpdb.Route {
		return rpdb.Route{
			Family: rpdb.IPv4, Table: table, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr(via), Link: 2}},
		}
	}
	marked := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(100)}
	marked.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1}
	return &rpdb.Snapshot{
		Rules:  append([]rpdb.Rule{marked}, rpdb.DefaultRules(rpdb.IPv4)...),
		Routes: []rpdb.Route{toward(rpdb.TableMain, "192.0.2.1"), toward(100, "192.0.2.2")},
		Links:  []rpdb.Link{{Index: 1, Name: "lo", Flags: rpdb.LinkUp}, {Index: 2, Name: "eth0", Flags: rpdb.LinkUp}},
		Addresses: []rpdb.Address{
			{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
		},
	}
}

// The line under an answer says which rule it was, and never more than is known.
func TestDecidingLine(t *testing.T) {
	s := decisionWorld()
	dst := netip.MustParseAddr("203.0.113.1")
	answer := func(table rpdb.TableID, via string) rpdb.Decision {
		return rpdb.Decision{
			Disposition: rpdb.Sent, Table: table, Type: rpdb.RouteUnicast,
			Hop: rpdb.Hop{Link: "eth0", Via: netip.MustParseAddr(via)}, Src: netip.MustParseAddr("192.0.2.10"),
		}
	}
	for name, c := range map[string]struct {
		q       question
		verdict rpdb.Decision
		route   rpdb.Route
		want    string
	}{
		"agrees": {
			q: question{flow: rpdb.Flow{Dst: dst, Mark: 1}}, verdict: answer(100, "192.0.2.2"),
			want: "decided by rule 100: from all fwmark 0x1/0x1 lookup 100 (default in table 100)",
		},
		"disagrees": {
			q: question{flow: rpdb.Flow{Dst: dst, Mark: 1}}, verdict: answer(rpdb.TableMain, "192.0.2.1"),
			want: "THE ENGINE DISAGREES: by rule 100: from all fwmark 0x1/0x1 lookup 100 (default in table 100) the packet leaves by eth0 via 192.0.2.2, source 192.0.2.10",
		},
		"refused, says the kernel": {
			q: question{flow: rpdb.Flow{Dst: dst}}, verdict: rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.ENETUNREACH},
			want: "THE ENGINE DISAGREES: by rule 32766: from all lookup main (default in table main) the packet leaves by eth0 via 192.0.2.1, source 192.0.2.10",
		},
		"the same route": {
			q: question{flow: rpdb.Flow{Dst: dst}, fibMatch: true}, verdict: answer(rpdb.TableMain, "192.0.2.1"), route: s.Routes[0],
			want: "decided by rule 32766: from all lookup main (default in table main)",
		},
		"another route": {
			q: question{flow: rpdb.Flow{Dst: dst}, fibMatch: true}, verdict: answer(100, "192.0.2.2"), route: s.Routes[1],
			want: "THE ENGINE DISAGREES: by rule 32766: from all lookup main (default in table main) the packet leaves by eth0 via 192.0.2.1, source 192.0.2.10",
		},
		"on lo": {
			q: question{flow: rpdb.Flow{Dst: dst, IIF: "lo"}}, verdict: answer(rpdb.TableMain, "192.0.2.1"),
			want: "decided by rule 32766: from all lookup main (default in table main); not compared: no packet comes in by lo",
		},
		"not askable": {
			q: question{flow: rpdb.Flow{Dst: dst, IPProto: 47}}, verdict: answer(rpdb.TableMain, "192.0.2.1"),
			want: "decided by rule 32766: from all lookup main (default in table main); not compared: route get knows TCP, UDP and ICMP, and not protocol 47",
		},
		"nowhere": {
			q:       question{flow: rpdb.Flow{Dst: netip.MustParseAddr("2001:db8::1")}},
			verdict: rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.ENETUNREACH},
			want:    "decided by no rule",
		},
	} {
		d := decide(s, c.q, c.verdict, c.route)
		if got := d.line(iproute2.RuleView{}); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

package kerneltest

import (
	"bufio"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// stories holds what every kernel must do, as shell sessions: see [teller].
//
//go:embed stories
var stories embed.FS

// Suite is what every kernel must do, the real one and the one in memory:
// rules and routes are added, refused and deleted as kernel-semantics says,
// and interfaces and addresses take and give routes. The stories folder beside
// this file holds most of it. NewTarget returns an empty namespace with the
// loopback interface up.
func Suite(t *testing.T, newTarget func(testing.TB) Target) {
	for _, file := range []string{"rules", "routes", "links"} {
		text, err := stories.ReadFile("stories/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(file, func(t *testing.T) {
			for _, part := range strings.Split("\n"+string(text), "\n-- ")[1:] {
				name, story, _ := strings.Cut(part, " --\n")
				t.Run(name, func(t *testing.T) {
					(&teller{t: t, target: newTarget(t)}).tell(story)
				})
			}
		})
	}
	t.Run("watch", func(t *testing.T) { suiteWatch(t, newTarget(t)) })
	t.Run("many rules", func(t *testing.T) { suiteMany(t, newTarget(t)) })
	t.Run("context and refusals", func(t *testing.T) { suiteContext(t, newTarget(t)) })
}

// world is two interfaces with an address of each family and a peer.
const world = `
	ip link add e0 type veth peer name p0
	ip link add e1 type veth peer name p1
	sysctl net.ipv6.conf.all.forwarding=0
	sysctl net.ipv6.conf.e0.accept_dad=0
	sysctl net.ipv6.conf.e1.accept_dad=0
	sysctl net.ipv6.conf.p0.disable_ipv6=1
	sysctl net.ipv6.conf.p1.disable_ipv6=1
	ip link set p0 up
	ip link set p1 up
	ip link set e0 up
	ip link set e1 up
	ip addr add 192.0.2.1/24 dev e0
	ip addr add 198.51.100.1/24 dev e1
	ip addr add 2001:db8::1/64 dev e0 nodad
	ip addr add 2001:db8:1::1/64 dev e1 nodad
`

// teller runs the lines of a story:
//
//	a command         of [Script]; it must succeed unless the next line says otherwise
//	do COMMAND        the same as one [rpdb.Change], by Do
//	! ERRNO [TEXT]    the command before fails so, with the kernel's words if given
//	world             two interfaces with addresses
//	rules -4          what is listed: the "> " lines that follow, as ip prints them
//	routes -4 TABLE   likewise, by destination and then source, without fe80::/10 and ff00::/8
//	addrs -4 LINK     likewise, prefixes only
//	# ...             a comment
type teller struct {
	t      *testing.T
	target Target
	line   string
	err    error // of the command before, nil once somebody looked
}

func (s *teller) tell(text string) {
	s.t.Helper()
	var show string
	var want []string
	lines := bufio.NewScanner(strings.NewReader(text + "\n#"))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if expected, ok := strings.CutPrefix(line, "> "); ok && show != "" {
			want = append(want, expected)
			continue
		}
		if show != "" {
			s.compare(show, want)
			show, want = "", nil
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "!":
			s.refused(rest)
			continue
		case "world":
			s.tell(world)
			continue
		case "rules", "routes", "addrs":
			show = line
		}
		if s.err != nil {
			s.t.Fatalf("%s: %v", s.line, s.err)
		}
		if word == "ip" || word == "sysctl" || word == "do" {
			s.line, s.err = line, s.run(word, line, rest)
		} else if show == "" && line != "" && word != "#" {
			s.t.Fatalf("unknown line %q", line)
		}
	}
}

func (s *teller) run(word, line, rest string) error {
	ctx := context.Background()
	if word != "do" {
		c, err := Parse(ctx, s.target, line)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		return s.target.Execute(ctx, c)
	}
	c, err := Parse(ctx, s.target, rest)
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return s.target.Do(ctx, changeOf(s.t, c))
}

// changeOf turns a command into a Change of the whole object.
func changeOf(t *testing.T, c Command) rpdb.Change {
	t.Helper()
	op := rpdb.Add
	switch c := c.(type) {
	case RuleCommand:
		if c.Delete {
			op = rpdb.Delete
			a := c.Rule.Action
			if a.Type() == rpdb.ActionUnspec {
				c.Rule.Action = rpdb.ToTable(a.Table())
			}
		}
		return rpdb.RuleChange(op, c.Rule)
	case RouteCommand:
		switch c.Verb {
		case RouteReplace:
			op = rpdb.Replace
		case RouteDelete:
			op = rpdb.Delete
			c.Route.Type = max(c.Route.Type, rpdb.RouteUnicast)
			if c.Route.Protocol == 0 {
				c.Route.Protocol = rpdb.ProtocolBoot
			}
			if c.Route.Scope = rpdb.ScopeGlobal; len(c.Route.Nexthops) == 1 && !c.Route.Nexthops[0].Via.IsValid() {
				c.Route.Scope = rpdb.ScopeLink
			}
		}
		return rpdb.RouteChange(op, c.Route)
	}
	t.Fatalf("%T is not a change", c)
	return rpdb.Change{}
}

// refused checks the error of the command before.
func (s *teller) refused(want string) {
	s.t.Helper()
	name, text, _ := strings.Cut(want, " ")
	errno, ok := errnos()[name]
	if !ok {
		s.t.Fatalf("unknown errno %q", name)
	}
	var op *kernel.OpError
	switch {
	case !errors.Is(s.err, errno):
		s.t.Errorf("%s: %v, want %s", s.line, s.err, want)
	case !errors.As(s.err, &op):
		s.t.Errorf("%s: error of type %T", s.line, s.err)
	case text != "" && op.Message != text:
		s.t.Errorf("%s: %q, want %q", s.line, op.Message, text)
	}
	s.err = nil
}

func errnos() map[string]syscall.Errno {
	return map[string]syscall.Errno{
		"EPERM": syscall.EPERM, "ENOENT": syscall.ENOENT, "ESRCH": syscall.ESRCH, "EACCES": syscall.EACCES,
		"EEXIST": syscall.EEXIST, "EBUSY": syscall.EBUSY, "ENODEV": syscall.ENODEV, "EINVAL": syscall.EINVAL,
		"ERANGE": syscall.ERANGE, "ENETDOWN": syscall.ENETDOWN, "ENETUNREACH": syscall.ENETUNREACH,
		"EHOSTUNREACH": syscall.EHOSTUNREACH, "EADDRNOTAVAIL": syscall.EADDRNOTAVAIL,
		"EOPNOTSUPP": syscall.EOPNOTSUPP,
	}
}

// patience bounds the wait for what the kernel does later: it notices changes
// of carrier once in a second.
const patience = 3 * time.Second

// compare looks at one listing, again and again until it is as wanted.
func (s *teller) compare(show string, want []string) {
	s.t.Helper()
	got := s.list(show)
	for end := time.Now().Add(patience); !slices.Equal(got, want) && time.Now().Before(end); got = s.list(show) {
		time.Sleep(10 * time.Millisecond)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("after %s\n%s\n  got:\n%s\n  want:\n%s", s.line, show, indent(got), indent(want))
	}
}

// list makes the listing that a line asks for.
func (s *teller) list(show string) (got []string) {
	s.t.Helper()
	snap, err := s.target.Snapshot(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	words := strings.Fields(show)
	f := rpdb.IPv4
	if words[1] == "-6" {
		f = rpdb.IPv6
	}
	switch words[0] {
	case "rules":
		for _, r := range snap.RulesOf(f) {
			got = append(got, strings.Replace(iproute2.Rule(r, rpdb.Names{}), "\t", " ", 1))
		}
	case "routes":
		got = listRoutes(s.t, snap, f, words[2])
	case "addrs":
		link, _ := snap.LinkByName(rpdb.LinkName(words[2]))
		for _, a := range snap.AddressesOf(f, link.Index) {
			if !netip.MustParsePrefix("fe80::/10").Contains(a.Prefix.Addr()) {
				got = append(got, a.Prefix.String())
			}
		}
	}
	return got
}

func indent(lines []string) string { return "    " + strings.Join(lines, "\n    ") }

func listRoutes(t *testing.T, s *rpdb.Snapshot, f rpdb.Family, table string) (lines []string) {
	t.Helper()
	id, ok := rpdb.Names{}.TableByName(table)
	if !ok {
		t.Fatalf("unknown table %q", table)
	}
	routes := s.Table(f, id)
	slices.SortStableFunc(routes, func(a, b rpdb.Route) int {
		return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Dst.Bits(), b.Dst.Bits()),
			cmp.Compare(b.Src.Bits(), a.Src.Bits()))
	})
	for _, r := range routes {
		if a := r.Dst.Addr(); r.Dst.Bits() > 0 && (a.IsLinkLocalUnicast() || a.IsMulticast()) {
			continue
		}
		line := iproute2.Route(r, iproute2.RouteView{LinkName: s.LinkName, Hide: iproute2.ColumnTable, OneLine: true})
		line = strings.TrimSuffix(strings.TrimSpace(line), " pref medium")
		lines = append(lines, strings.ReplaceAll(strings.ReplaceAll(line, " pref medium\\\t", " \\\t"), "\\\t", ""))
	}
	return lines
}

// suiteWatch checks that what is done is told, in order, and nothing else of
// rules and routes.
func suiteWatch(t *testing.T, k Target) {
	ctx := context.Background()
	w, err := k.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	err = Script(ctx, k, "ip rule add pref 100 table 100", "ip rule add pref 100 table 100")
	if !errors.Is(err, syscall.EEXIST) {
		t.Fatalf("second add: %v", err)
	}
	if err := Script(ctx, k, "ip route add blackhole 203.0.113.0/24 table 100", "ip rule del pref 100", "ip route del 203.0.113.0/24 table 100"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rule 100 false", "route 203.0.113.0/24 false", "rule 100 true", "route 203.0.113.0/24 true"} {
		ev, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("rule %d %v", ev.Rule.Priority, ev.Deleted)
		if ev.Type == kernel.EventRoute {
			got = fmt.Sprintf("route %v %v", ev.Route.Dst, ev.Deleted)
		}
		if got != want {
			t.Errorf("event %+v, want %s", ev, want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if ev, err := w.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("event after the last: %+v, %v", ev, err)
	}
}

// suiteMany checks that many rules are added all or none, in their order, and
// deleted again, among those of others.
func suiteMany(t *testing.T, k Target) {
	ctx := context.Background()
	bulk, ok := k.(interface {
		AddRules(ctx context.Context, rules []rpdb.Rule) error
		DeleteRules(ctx context.Context, rules []rpdb.Rule) error
	})
	if !ok {
		t.Fatal("this kernel takes rules one by one only")
	}
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		for i := range 150 {
			rules = append(rules, rpdb.Rule{
				Family: f, Priority: rpdb.Priority(200 + i/2), Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolRPDB,
				Selector: rpdb.Selector{Mark: rpdb.Mark{Value: uint32(i), Mask: 0xffffffff}},
			})
		}
	}
	there := func() (rules []rpdb.Rule) {
		s, err := k.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s.Rules {
			rules = append(rules, r.Canonical())
		}
		return rules
	}
	before := there()
	if err := bulk.AddRules(ctx, rules); err != nil {
		t.Fatal(err)
	}
	var got []rpdb.Rule
	for _, r := range there() {
		if r.Protocol == rpdb.ProtocolRPDB {
			got = append(got, r)
		}
	}
	if !slices.Equal(got, rules) {
		t.Errorf("there are %d rules, and not in their order", len(got))
	}
	all := there()
	if err := bulk.AddRules(ctx, rules[:1]); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("to a place that is not free: %v", err)
	}
	more := rpdb.Rule{Family: rpdb.IPv6, Priority: 700, Action: rpdb.ToTable(100)}
	bad := more
	bad.Selector.TOS = 1
	if err := bulk.AddRules(ctx, []rpdb.Rule{more, bad}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("with one that is refused: %v", err)
	}
	if err := bulk.DeleteRules(ctx, []rpdb.Rule{rules[0], more}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("with one that is not there: %v", err)
	}
	if !slices.Equal(there(), all) {
		t.Error("what failed left something, or took something")
	}
	if err := bulk.DeleteRules(ctx, rules); err != nil {
		t.Error(err)
	}
	if !slices.Equal(there(), before) {
		t.Error("something is left, or something else is gone")
	}
}

// suiteContext checks that nothing is done when the context has ended.
func suiteContext(t *testing.T, k Target) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rule := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(100)}
	if err := k.Do(ctx, rpdb.RuleChange(rpdb.Add, rule)); !errors.Is(err, context.Canceled) {
		t.Errorf("Do: %v", err)
	}
	if _, err := k.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Snapshot: %v", err)
	}
	for _, c := range []rpdb.Change{{}, {Op: rpdb.Replace, Rule: &rule}, {Op: rpdb.Add, Rule: &rpdb.Rule{}}, {Op: 9, Route: &rpdb.Route{}}} {
		if err := k.Do(context.Background(), c); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%v: %v, want EINVAL", c, err)
		}
	}
}

package apply_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// allFaults is the long run of "make faults".
var allFaults = flag.Bool("faults", false, "stop and fail each operation at every call, not one canonical apply alone")

// clock is a machine whose boot and time a test sets.
type clock struct {
	boot  string
	since time.Duration
	wall  time.Time
}

func (c *clock) Boot() (string, time.Duration, error) { return c.boot, c.since, nil }
func (c *clock) Now() time.Time                       { return c.wall }

// site is a host with its state directory, on which the program can be stopped
// and restarted.
type site struct {
	*kerneltest.Memory
	dir     string
	machine clock
	faults  faults
	// meanwhile, if not nil, is called before each change: another program.
	meanwhile func()
	// refuse, if not nil, says which changes the kernel refuses.
	refuse func(rpdb.Change) bool
	// means, if not nil, is what policies mean now.
	means map[string]rpdb.Desired
}

// faults act at one call of the kernel or of the disk.
type faults struct {
	calls int
	at    int // the call, from 1; 0 for none
	after bool
	errno syscall.Errno // 0 stops the program
}

// killed is how a program ends that a test stops.
type killed struct{}

// call makes one call of something, or not.
func (f *faults) call(do func() error) error {
	f.calls++
	if f.calls != f.at {
		return do()
	}
	var err error
	if f.after {
		err = do()
	}
	if f.errno == 0 {
		panic(killed{})
	}
	if err != nil {
		return err
	}
	return f.errno
}

// Snapshot and Do are those of the kernel in memory, with faults.
func (s *site) Snapshot(ctx context.Context) (snapshot *rpdb.Snapshot, err error) {
	err = s.faults.call(func() error {
		snapshot, err = s.Memory.Snapshot(ctx)
		return err
	})
	return snapshot, err
}

func (s *site) Do(ctx context.Context, c rpdb.Change) error {
	if s.meanwhile != nil {
		s.meanwhile()
	}
	if s.refuse != nil && s.refuse(c) {
		return syscall.EPERM
	}
	return s.faults.call(func() error { return s.Memory.Do(ctx, c) })
}

// onDisk counts a call of the disk once, before it or after it.
func (s *site) onDisk(c journal.Call) error {
	if c.Done {
		if f := &s.faults; f.calls == f.at && f.after {
			f.at = 0
			if f.errno == 0 {
				panic(killed{})
			}
			return f.errno
		}
		return nil
	}
	s.faults.calls++
	if f := &s.faults; f.calls == f.at && !f.after {
		if f.errno == 0 {
			panic(killed{})
		}
		return f.errno
	}
	return nil
}

// config opens the journal of the site; the caller closes it.
func (s *site) config(t *testing.T) apply.Config {
	t.Helper()
	j, err := journal.Open(s.dir, "", journal.Options{Fault: s.onDisk})
	if err != nil {
		t.Fatal(err)
	}
	c := apply.Config{Kernel: s, Journal: j, Machine: &s.machine, NetNS: 7}
	if s.means != nil {
		c.Resolve = func(b journal.Body, _ *rpdb.Snapshot) (rpdb.Desired, error) { return s.means[b.Policy], nil }
	}
	return c
}

// state returns the record, and a config for what needs no session.
func (s *site) state(t *testing.T) (journal.State, apply.Config) {
	t.Helper()
	c := s.config(t)
	t.Cleanup(func() { c.Journal.Close() })
	return must(c.Journal.Read()), c
}

// session runs one program: it begins a session, does something and ends, or is
// stopped on the way.
func (s *site) session(t *testing.T, do func(*apply.Session) error) (stopped bool, err error) {
	t.Helper()
	c := s.config(t)
	defer c.Journal.Close()
	var session *apply.Session
	defer func() {
		if session != nil {
			session.Close() // the kernel does that
		}
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			stopped = true
		}
	}()
	if session, err = apply.Begin(t.Context(), c); err != nil {
		return false, err
	}
	return false, do(session)
}

// policies are the generations of the tests, of both families: what each has that
// others have not is added, changed or removed. Of A and B one table of each family
// has its twin, and one holds a route of somebody else and changes where it stands:
// 82000 of IPv4, 82001 of IPv6. C pins a rule of each family
// outside our range and has a table there. D adopts the rules of priority 200 and
// the routes of table 8 that somebody has made by hand, and E leads them elsewhere.
func policies() map[string]rpdb.Desired {
	rule := func(from string, t rpdb.TableID) rpdb.DesiredRule {
		r := ruleFrom(from)
		r.Family, r.Action = rpdb.FamilyOf(r.Selector.From.Addr()), rpdb.ToTable(t)
		return rpdb.DesiredRule{Rule: r, Name: from}
	}
	pinned := func(from string, t rpdb.TableID) rpdb.DesiredRule {
		w := rule(from, t)
		w.Pinned, w.Rule.Priority = true, 300
		return w
	}
	route := func(t rpdb.TableID, dst, via string) rpdb.DesiredRoute {
		r := rpdb.Route{
			Table: t, Dst: netip.MustParsePrefix(dst), Type: rpdb.RouteUnicast,
			Protocol: rpdb.ProtocolRPDB, Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr(via), Link: 3}},
		}
		r.Family = rpdb.FamilyOf(r.Dst.Addr())
		return rpdb.DesiredRoute{Route: r, Name: dst}
	}
	by := []rpdb.Protocol{rpdb.ProtocolUnspec, rpdb.ProtocolBoot}
	adopting := func(t rpdb.TableID, via4, via6 string) rpdb.Desired {
		var d rpdb.Desired
		for _, from := range []string{"192.0.2.96/32", "2001:db8::96/128"} {
			w := pinned(from, t)
			w.Rule.Priority, w.Adopts = 200, by
			d.Rules = append(d.Rules, w)
		}
		d.Rules = append(d.Rules, rule("192.0.2.10/32", 8), rule("2001:db8::10/128", 8))
		d.Routes = []rpdb.DesiredRoute{route(8, "203.0.113.0/24", via4), route(8, "2001:db8:71::/48", via6)}
		for i := range d.Routes {
			d.Routes[i].Adopts = by
		}
		d.Tables = []rpdb.DesiredTable{{ID: 8}}
		return d
	}
	return map[string]rpdb.Desired{
		"D": adopting(8, "192.0.2.9", "2001:db8::9"), "E": adopting(7, "192.0.2.1", "2001:db8::1"),
		"A": {
			Rules: []rpdb.DesiredRule{
				rule("192.0.2.10/32", 82000), rule("192.0.2.11/32", 82000), rule("192.0.2.13/32", 82001),
				rule("2001:db8::10/128", 82000), rule("2001:db8::11/128", 82000), rule("2001:db8::13/128", 82001),
			},
			Routes: []rpdb.DesiredRoute{
				route(82000, "0.0.0.0/0", "192.0.2.1"), route(82000, "198.51.100.0/24", "192.0.2.1"),
				route(82001, "0.0.0.0/0", "192.0.2.1"), route(82001, "198.51.100.0/24", "192.0.2.1"),
				route(82000, "::/0", "2001:db8::1"), route(82000, "2001:db8:51::/48", "2001:db8::1"), route(82001, "::/0", "2001:db8::1"),
			},
			Tables: []rpdb.DesiredTable{{ID: 82000}, {ID: 82001}},
		},
		"B": {
			Rules: []rpdb.DesiredRule{
				rule("192.0.2.12/32", 82000), rule("192.0.2.10/32", 82000), rule("192.0.2.13/32", 82001),
				rule("2001:db8::12/128", 82000), rule("2001:db8::10/128", 82000), rule("2001:db8::13/128", 82001),
			},
			Routes: []rpdb.DesiredRoute{
				route(82000, "0.0.0.0/0", "192.0.2.2"), route(82000, "203.0.113.0/24", "192.0.2.1"),
				route(82001, "0.0.0.0/0", "192.0.2.2"), route(82001, "198.51.100.0/24", "192.0.2.1"),
				route(82000, "::/0", "2001:db8::2"), route(82000, "2001:db8:71::/48", "2001:db8::1"), route(82001, "::/0", "2001:db8::2"),
			},
			Tables: []rpdb.DesiredTable{{ID: 82000}, {ID: 82001}},
		},
		"C": {
			Rules: []rpdb.DesiredRule{
				pinned("198.51.100.9/32", 100), rule("192.0.2.10/32", 100),
				pinned("2001:db8:9::9/128", 100), rule("2001:db8::10/128", 100),
			},
			Routes: []rpdb.DesiredRoute{route(100, "0.0.0.0/0", "192.0.2.2"), route(100, "::/0", "2001:db8::2")},
			Tables: []rpdb.DesiredTable{{ID: 100}},
		},
		"":  {},
		"N": natPolicy("203.0.113.0/24", 82999), "M": natPolicy("198.18.5.0/24", 82998),
	}
}

// host is the lines that make the host, with rules and routes of others.
func hostLines() []string {
	return []string{
		"ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up",
		"ip addr add 192.0.2.10/24 dev eth0", "ip addr add 2001:db8::10/64 dev eth0 nodad",
		"ip rule add pref 9005 from 192.0.2.99 lookup 7", "ip rule add pref 301 from 192.0.2.98 lookup 7 protocol 82",
		"ip -6 rule add pref 9005 from 2001:db8::99 lookup 7", "ip -6 rule add pref 301 from 2001:db8::98 lookup 7 protocol 82",
		"ip rule add pref 200 from 192.0.2.96 lookup 8", "ip -6 rule add pref 200 from 2001:db8::96 lookup 8 protocol boot",
		"ip route add 203.0.113.0/24 via 192.0.2.9 table 8", "ip route add 2001:db8:71::/48 via 2001:db8::9 dev eth0 table 8",
		"ip route add 2001:db8:7::/48 via 2001:db8::9 table 7", "ip route add 2001:db8:99::/48 via 2001:db8::9 table 82001 proto static",
		"ip route add 198.51.100.0/24 via 192.0.2.9 table 7", "ip route add 203.0.113.99 via 192.0.2.9 table 82000 proto static",
	}
}

// proposal is a policy, by its name.
func (s *site) proposal(t *testing.T, name string) apply.Proposal {
	t.Helper()
	before, err := s.Memory.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return apply.Proposal{Policy: name, File: name + ".yaml", Desired: policies()[name], Before: before, Author: "eve"}
}

// apply applies a policy, with a time to confirm it in, 0 for none.
func (s *site) apply(t *testing.T, name string, confirm time.Duration) error {
	t.Helper()
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, name)
		prop.Confirm = confirm
		_, err := session.Apply(t.Context(), prop)
		return err
	})
	return err
}

// newSite is a host on which generation 1, A, is confirmed.
func newSite(t *testing.T, dir string) *site {
	t.Helper()
	s := &site{Memory: kerneltest.NewMemory(), dir: dir, machine: clock{boot: "boot 1", since: time.Hour, wall: time.Unix(1800000000, 0)}}
	if err := kerneltest.Script(t.Context(), s.Memory, hostLines()...); err != nil {
		t.Fatal(err)
	}
	return s
}

// template is a site that can be copied, since making one syncs files.
type template struct {
	dir  string
	made []string // the policies applied, in order; the last with a time to confirm it in if pending
	// pending leaves the last one on trial.
	pending bool
}

func newTemplate(t *testing.T, pending bool, made ...string) template {
	t.Helper()
	tmpl := template{dir: t.TempDir(), made: made, pending: pending}
	s := newSite(t, tmpl.dir)
	for i, name := range made {
		if err := s.apply(t, name, tmpl.confirm(i)); err != nil {
			t.Fatal(err)
		}
	}
	return tmpl
}

func (tmpl template) confirm(i int) time.Duration {
	if tmpl.pending && i == len(tmpl.made)-1 {
		return time.Minute
	}
	return 0
}

// site copies the template.
func (tmpl template) site(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tmpl.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, e := range must(os.ReadDir(dir)) {
		if err := os.Chmod(dir+"/"+e.Name(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, dir)
	for i, name := range tmpl.made {
		p, err := plan.Diff(must(s.Memory.Snapshot(t.Context())), policies()[name])
		if err != nil {
			t.Fatal(err)
		}
		if tmpl.confirm(i) > 0 {
			p = p.WithoutClean()
		}
		for _, step := range p.Steps {
			if err := s.Memory.Do(t.Context(), step.Change); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// foreign returns what on the host is not ours.
func (s *site) foreign(t *testing.T) string {
	t.Helper()
	now := must(s.Memory.Snapshot(t.Context()))
	var all []string
	add := func(object any) { all = append(all, string(must(json.Marshal(object)))) }
	for _, r := range now.Rules {
		if r.Protocol != rpdb.ProtocolRPDB || r.Priority == 301 {
			add(r)
		}
	}
	for _, r := range now.Routes {
		if r.Protocol != rpdb.ProtocolRPDB {
			add(r)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// ours counts the rules and routes that are, but for those that only hold a
// generation.
func (s *site) ours(t *testing.T) int {
	t.Helper()
	return countOurs(must(s.Memory.Snapshot(t.Context())))
}

// alive counts those of them that a packet can come to.
func (s *site) alive(t *testing.T) int {
	t.Helper()
	return countOurs(plan.Live(must(s.Memory.Snapshot(t.Context()))))
}

func countOurs(now *rpdb.Snapshot) (n int) {
	for _, r := range now.Rules {
		if r.Protocol == rpdb.ProtocolRPDB && r.Priority != 301 && !plan.IsScaffold(r) {
			n++
		}
	}
	for _, r := range now.Routes {
		if r.Protocol == rpdb.ProtocolRPDB {
			n++
		}
	}
	return n
}

// oneOf wants the host to be exactly at one of the policies, which the record
// says is confirmed, and returns its name.
func (s *site) oneOf(t *testing.T, what string, names ...string) string {
	t.Helper()
	s.faults = faults{}
	var state journal.State
	_, err := s.session(t, func(session *apply.Session) error {
		state = session.State()
		return nil
	})
	if err != nil {
		t.Errorf("%s: begin: %v", what, err)
		return ""
	}
	if state.Pending != nil {
		t.Errorf("%s: still on trial: %+v", what, state)
		return ""
	}
	e, _ := state.Confirmed()
	for _, name := range names {
		if e.PolicyHash != apply.PolicyHash(name) {
			continue
		}
		left := must(plan.Diff(must(s.Memory.Snapshot(t.Context())), policies()[name]))
		if !left.Empty() || s.ours(t) != countOf(t, name) {
			t.Errorf("%s: %q is confirmed, and %d steps away (%v), with %d objects of ours", what, name, len(left.Steps), left.Steps, s.ours(t))
		}
		return name
	}
	t.Errorf("%s: generation %d is confirmed, none of %q: %+v", what, e.ID, names, state)
	return ""
}

// asOf is a host with a policy alone.
func asOf(t *testing.T, name string) *site {
	t.Helper()
	s := newSite(t, "")
	names := []string{name}
	if name == "E" {
		names = []string{"D", "E"} // which has taken what it changes
	}
	for _, name := range names {
		for _, step := range must(plan.Diff(must(s.Memory.Snapshot(t.Context())), policies()[name])).Steps {
			if err := s.Memory.Do(t.Context(), step.Change); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// countOf is how many rules and routes a policy has on an empty host.
func countOf(t *testing.T, name string) int {
	t.Helper()
	return asOf(t, name).ours(t)
}

// operation is one call of the program, from a site to one of the generations.
type operation struct {
	name string
	from template
	do   func(t *testing.T, s *site, session *apply.Session) error
	// then are the generations that it may end in when it is stopped or fails;
	// the first is the one before, the second where it ends if it succeeds.
	then [2]string
}

func operations(t *testing.T) []operation {
	t.Helper()
	confirmed, trial, past := newTemplate(t, false, "A"), newTemplate(t, true, "A", "B"), newTemplate(t, false, "A", "C")
	translated, translating := newTemplate(t, false, "A", "N"), newTemplate(t, true, "A", "N", "M")
	adopted, changed := newTemplate(t, false, "A", "D"), newTemplate(t, false, "A", "D", "E")
	propose := func(name string, confirm time.Duration) func(*testing.T, *site, *apply.Session) error {
		return func(t *testing.T, s *site, session *apply.Session) error {
			prop := s.proposal(t, name)
			prop.Confirm = confirm
			if name == "A" {
				prop.To = 1
			}
			prop.Guard = func(journal.Pending) error { return nil }
			_, err := session.Apply(t.Context(), prop)
			return err
		}
	}
	return []operation{
		{"apply", confirmed, propose("B", 0), [2]string{"A", "B"}},
		{"apply with a pinned rule", confirmed, propose("C", 0), [2]string{"A", "C"}},
		{"apply for trial", confirmed, propose("C", time.Minute), [2]string{"A", "A"}},
		{"confirm", trial, func(t *testing.T, _ *site, session *apply.Session) error {
			_, err := session.Confirm(t.Context(), 0)
			return err
		}, [2]string{"A", "B"}},
		{"rollback of a trial", trial, func(t *testing.T, _ *site, session *apply.Session) error {
			_, err := session.RollBack(t.Context(), "by eve")
			return err
		}, [2]string{"A", "A"}},
		{"rollback to a generation", past, propose("A", 0), [2]string{"C", "A"}},
		{"apply a translation", confirmed, propose("N", 0), [2]string{"A", "N"}},
		{"apply another translation", translated, propose("M", 0), [2]string{"N", "M"}},
		{"apply another translation for trial", translated, propose("M", time.Minute), [2]string{"N", "N"}},
		{"confirm a translation", translating, func(t *testing.T, _ *site, session *apply.Session) error {
			_, err := session.Confirm(t.Context(), 0)
			return err
		}, [2]string{"N", "M"}},
		{"rollback of a translation", translating, func(t *testing.T, _ *site, session *apply.Session) error {
			_, err := session.RollBack(t.Context(), "by eve")
			return err
		}, [2]string{"N", "N"}},
		{"remove a translation", translated, propose("", 0), [2]string{"N", ""}},
		{"remove", past, propose("", 0), [2]string{"C", ""}},
		{"apply that adopts", confirmed, propose("D", 0), [2]string{"A", "D"}},
		{"rollback to before an adoption", adopted, propose("A", 0), [2]string{"D", "A"}},
		{"rollback for trial to before an adoption", adopted, propose("A", time.Minute), [2]string{"D", "D"}},
		{"rollback to before an adoption that was changed", changed, propose("A", 0), [2]string{"E", "A"}},
		{"rollback for trial to before an adoption that was changed", changed, propose("A", time.Minute), [2]string{"E", "E"}},
		{"remove what adopts", adopted, propose("", 0), [2]string{"D", ""}},
	}
}

// run runs an operation with a fault at its n-th call, then waits until every
// trial is over, and checks where it is. It reports whether the fault was
// reached.
func (op operation) run(t *testing.T, f faults) (reached bool) {
	t.Helper()
	s := op.from.site(t)
	s.faults = f
	stopped, err := s.session(t, func(session *apply.Session) error { return op.do(t, s, session) })
	what := fmt.Sprintf("%s, call %d, after %v, %v", op.name, f.at, f.after, f.errno)
	reached = s.faults.calls >= f.at
	s.machine.since += time.Hour
	got := s.oneOf(t, what, op.then[:]...)
	if !stopped && err == nil && got != op.then[1] {
		t.Errorf("%s: it said that it was done, and is at %q", what, got)
	}
	if is, want := s.foreign(t), asOf(t, got).foreign(t); is != want {
		t.Errorf("%s: at %q, foreign:\n%s\nand not\n%s", what, got, is, want)
	}
	return reached
}

// TestEveryCallStopsOrFails stops the program before and after every call of the
// kernel and of the disk, and lets each fail once, before it and after it has
// done its work (E1, E2, A9, A10, A12, A13). What the next session finds and ends
// is exactly the generation before or the new one; nothing is left over, and
// nothing foreign has changed.
func TestEveryCallStopsOrFails(t *testing.T) {
	points := 0
	for i, op := range operations(t) {
		errnos := []syscall.Errno{0, syscall.EIO, syscall.ENOSPC, syscall.ENOBUFS, syscall.EPERM, syscall.EINTR}
		if !*allFaults {
			errnos = errnos[:1]
			if !slices.Contains([]string{"apply", "confirm", "rollback of a trial", "apply another translation", "rollback for trial to before an adoption that was changed"}, op.name) {
				continue
			}
		}
		t.Run(op.name, func(t *testing.T) {
			before := points
			for _, errno := range errnos {
				for _, after := range []bool{false, true} {
					if after && i > 0 && !*allFaults {
						continue // in memory much like before the next one
					}
					for n := 1; op.run(t, faults{at: n, after: after, errno: errno}); n++ {
						points++
					}
				}
			}
			if points-before < 20 {
				t.Errorf("only %d points were reached", points-before)
			}
		})
	}
	t.Logf("%d points", points)
}

// TestRecoveryIsStopped stops the session that goes back, too, at every call of
// its own (E2).
func TestRecoveryIsStopped(t *testing.T) {
	op := operations(t)[1]
	points := 0
	for first := 30; ; first += 7 {
		for n := 1; ; n++ {
			s := op.from.site(t)
			s.faults = faults{at: first}
			if stopped, _ := s.session(t, func(session *apply.Session) error { return op.do(t, s, session) }); !stopped {
				t.Logf("%d points", points)
				return
			}
			s.faults = faults{at: n}
			stopped, err := s.session(t, func(*apply.Session) error { return nil })
			if err != nil {
				t.Errorf("stopped at %d: begin: %v", first, err)
			}
			s.oneOf(t, fmt.Sprintf("stopped at %d and %d", first, n), op.then[:]...)
			if points++; !stopped {
				break
			}
		}
		if !*allFaults && points > 20 {
			return
		}
	}
}

package differential

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutate = flag.String("mutants", "", "plant the faults whose name holds this text, one by one; all of them: .")

// mutant is a planted fault of the engine: one text in a source file in place
// of another.
type mutant struct {
	name, file, was, is string
}

// mutants are faults that somebody could make. A comparison with the kernel
// must find each.
func mutants() []mutant {
	return []mutant{
		{"the mask counts for the rule's mark only", "selector.go", "return (k.Value^m)&k.Mask == 0 }", "return k.Value&k.Mask == m }"},
		{"a uid range ends before its end", "selector.go", "k.First <= u && u <= k.Last", "k.First <= u && u < k.Last"},
		{"a port range ends before its end", "selector.go", "return k.First <= p && p <= k.Last", "return k.First <= p && p < k.Last"},
		{"a port range begins behind its beginning", "selector.go", "return k.First <= p && p <= k.Last", "return k.First < p && p <= k.Last"},
		{"the mask of a port is forgotten", "selector.go", "return (k.First^p)&k.Mask == 0", "return k.First == p"},
		{"the mask of a DSCP is forgotten", "selector.go", "func (k DSCP) Matches(d uint8) bool { return (k.Value^d)&k.Mask == 0 }", "func (k DSCP) Matches(d uint8) bool { return k.Value == d }"},
		{"the mask of a flow label is forgotten", "selector.go", "func (k FlowLabel) Matches(l uint32) bool { return (k.Value^l)&k.Mask == 0 }", "func (k FlowLabel) Matches(l uint32) bool { return k.Mask == 0 || k.Value == l }"},
		{"not is forgotten", "fib/match.go", "if !r.Selector.Not {", "if true {"},
		{"not without a selector matches", "fib/match.go", `return "not"`, `if r.Selector == (rpdb.Selector{Not: true}) { return "" }; return "not"`},
		{"tos is the whole DS field in IPv4", "fib/match.go", "return r.Selector.TOS == ds&legacyTOS", "return r.Selector.TOS == ds"},
		{"dscp is the lower bits of the DS field", "fib/match.go", "r.dscp.Matches(k.ds>>2)", "r.dscp.Matches(k.ds&0x3f)"},
		{"from matches IPv6 flows without a source", "fib/match.go", "return r.Flags&rpdb.RuleFindSaddr != 0", "return r.from.Contains(k.src)"},
		{"a detached interface matches flows of none", "fib/shape.go", "return m.set, noLink", "return m.set, 0"},
		{"tun_id is not looked at", "fib/image.go", "when(s.tun, ^uint64(0))", "when(false, ^uint64(0))"},
		{"of two parts the second is not compared", "fib/image.go", "range f.list[:f.n] {", "range f.list[:min(f.n, 1)] {"},
		{"half of the rules are not in the filter of their shape", "fib/tuples.go", "return f[word]&bit != 0", "return f[word]&bit > 1<<31"},
		{"goto leads behind its target", "fib/walk.go", "a.at = to.end\n", "a.at = to.end + 1\n"},
		{"a rule found ends the search of other shapes", "fib/asking.go", "if best != nil && t.min > best.at {", "if best != nil {"},
		{"a walk begins again behind a rule that fits", "fib/asking.go", "a.at = best.at + 1", "a.at = best.at + 2"},
		{"a prohibit rule is unreachable", "fib/walk.go", "denied, rpdb.EACCES, true", "denied, rpdb.ENETUNREACH, true"},
		{"suppress_prefixlength is off by one", "fib/walk.go", "if int32(res.length) <= r.prefixLen {", "if int32(res.length) < r.prefixLen {"},
		{"suppress_ifgroup looks at the hop chosen in IPv4", "fib/walk.go", "h = &res.route.hops[0]", "h = &res.route.hops[len(res.route.hops)-1]"},
		{"throw ends the walk", "fib/walk.go", "rec.step(r, stepThrow, v, \"\")\n\t\tv.result = result{}", "rec.step(r, stepThrow, v, \"\")\n\t\tv.result = result{outcome: denied, errno: rpdb.ENETUNREACH}"},
		{"equal IPv4 routes are tried by metric before TOS", "fib/table4.go", "cmp.Compare(b.tos, a.tos), cmp.Compare(a.metric, b.metric)", "cmp.Compare(a.metric, b.metric), cmp.Compare(b.tos, a.tos)"},
		{"IPv4 metrics the wrong way round", "fib/table4.go", "cmp.Compare(a.metric, b.metric))", "cmp.Compare(b.metric, a.metric))"},
		{"the only route of a prefix takes every TOS", "fib/sweep.go", "r.tos != 0 || ", ""},
		{"an unusable IPv4 route ends the search", "fib/table4.go", "n = up\n", "n = nil\n\t\t_ = up\n"},
		{"links without carrier are never ignored in IPv4", "fib/table4.go", "case h.ignored && !k.peek:", "case h.ignored && k.peek:"},
		{"weights count the same", "fib/nexthop.go", "sum += uint64(max(h.nexthop.Weight, 1))", "sum++"},
		{"the hash is not halved", "fib/hash.go", "return int64(max(hash, 1) >> 1)", "return int64(max(hash, 1))"},
		{"both directions of a flow hash differently", "fib/hash.go", "if dst.Less(src) {", "if false {"},
		{"ports are hashed as they stand", "fib/hash.go", "if binary.LittleEndian.Uint16(dport[:]) < binary.LittleEndian.Uint16(sport[:]) {", "if false {"},
		{"the only route of an IPv6 prefix is taken whatever its nexthop", "fib/table6.go", "reach); why == fits {", "reach); why != passedDead {"},
		{"of the IPv6 ranges some are a place too low", "fib/ranges6.go", "return &r.all[from]", "return &r.all[from&^int(n.low>>2&1)]"},
		{"router preferences the wrong way round", "fib/table6.go", "return int(p^2) & 3", "return 3 - int(p^2)&3"},
		{"plain routes are left out beside source-specific defaults", "fib/table6.go", "if n.prefix.Bits() == 0 {", "if n.prefix.Bits() > 128 {"},
		{"an interface of IPv6 is always a condition", "fib/output6.go", "k.strict = flow.Socket != rpdb.RouteGet || !k.hasSrc", "k.strict = true"},
		{"loose is strict for the reverse path", "fib/input4.go", "case r.conf.rpFilter == 1:", "case r.conf.rpFilter >= 1:"},
		{"send_redirects is always taken to be on", "fib/input4.go", "r.conf.redirects && r.turnsBack()", "r.turnsBack()"},
		{"send_redirects is taken to be off", "fib/input4.go", "r.conf.redirects && r.turnsBack()", "false"},
		{"send_redirects of conf.all is forgotten", "snapshot.go", "return on(s.All) || on(own)", "return on(own)"},
		{"the mark is kept on the way back", "fib/input4.go", "if !r.conf.markSrc {", "if false {"},
		{"the user of a forwarded packet counts", "fib/input4.go", "k.uid, k.anySPort = 0, false", "k.uid, k.anySPort = flow.UID+1, false"},
		{"a preferred source is not looked at", "fib/source4.go", "if r.prefsrc.IsValid() {", "if false {"},
		{"forwarding is asked of the whole host", "fib/compile.go", "forward4: own.Forwarding4,", "forward4: !s.Sysctls.IPv4Forward,"},
	}
}

// TestMutants plants the faults one by one, in copies of the sources that only
// the compiler sees, and compares each engine with the kernel: every comparison
// must fail.
func TestMutants(t *testing.T) {
	if *mutate == "" {
		t.Skip("plants faults with -args -mutants . (make mutants)")
	}
	found, planted := 0, 0
	for _, m := range mutants() {
		if *mutate != "." && !strings.Contains(m.name, *mutate) {
			continue
		}
		planted++
		t.Run(m.name, func(t *testing.T) {
			out, err := m.run(t, "-test.run", "AgainstKernel", "-lookups", fmt.Sprint(1_000_000), "-seed", "7")
			if err == nil {
				t.Errorf("not found:\n%s", out)
				return
			}
			if !strings.Contains(out, "engine") || !strings.Contains(out, "kernel") {
				t.Fatalf("%v:\n%s", err, out)
			}
			found++
		})
	}
	t.Logf("%d of %d planted faults found", found, planted)
}

// source returns the file in which the fault is planted, and what it holds.
func (m mutant) source(t *testing.T) (file, text string) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("../..", m.file))
	must(t, err)
	source, err := os.ReadFile(file)
	must(t, err)
	if n := strings.Count(string(source), m.was); n != 1 {
		t.Errorf("%s: %s holds the text %d times: %s", m.name, m.file, n, m.was)
	}
	return file, string(source)
}

// TestMutantsHaveAPlace keeps the faults plantable while the sources change.
func TestMutantsHaveAPlace(t *testing.T) {
	for _, m := range append(mutants(), forgetful()...) {
		m.source(t)
	}
}

// run compiles this test with the fault and runs it with the arguments.
func (m mutant) run(t *testing.T, args ...string) (output string, err error) {
	file, source := m.source(t)
	if t.Failed() {
		t.FailNow()
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, filepath.Base(m.file))
	must(t, os.WriteFile(changed, []byte(strings.Replace(source, m.was, m.is, 1)), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay"), overlay, 0o600))
	binary := filepath.Join(dir, "differential.test")
	build := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay"), "-o", binary, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	text, err := exec.Command(binary, args...).CombinedOutput()
	return string(text), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

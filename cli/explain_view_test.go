package cli

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
)

// ruleHost is a host with one uplink, and the given rules between those of
// tables local and main.
func ruleHost(rules ...rpdb.Rule) *rpdb.Snapshot {
	const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	s := &rpdb.Snapshot{Custom4: rpdb.CustomisedYes}
	s.Links = []rpdb.Link{{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback}, {Index: 2, Name: "eth0", Flags: up}}
	s.Addresses = []rpdb.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.10/24")}}
	defaults := rpdb.DefaultRules(rpdb.IPv4)
	s.Rules = append(s.Rules, defaults[0])
	s.Rules = append(s.Rules, rules...)
	s.Rules = append(s.Rules, defaults[1:]...)
	s.Routes = []rpdb.Route{{
		Family: rpdb.IPv4, Table: rpdb.TableMain, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: rpdb.RouteUnicast,
		Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.MustParseAddr("192.0.2.1")}},
	}}
	return s
}

func priority(p rpdb.Priority, action rpdb.Action) rpdb.Rule {
	return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: action}
}

// viewOf is the first walk of a flow of ruleHost as it is printed.
func viewOf(l look, s *rpdb.Snapshot) string { return viewSteps(l, s, stepsOf(s)) }

func stepsOf(s *rpdb.Snapshot) []fib.Step {
	tr := fib.Compile(s).Trace(rpdb.Flow{Dst: netip.MustParseAddr("203.0.113.7")})
	return tr.Lookups[0].Steps()
}

func viewSteps(l look, s *rpdb.Snapshot, steps []fib.Step) string {
	w := newWords(s.LinkName, rpdb.Names{})
	return "\n" + strings.Join(newWalkView(l, w, steps).lines(), "\n") + "\n"
}

func TestGotosAreArrows(t *testing.T) {
	s := ruleHost(
		priority(100, rpdb.Goto(300)), priority(200, rpdb.Prohibit()), priority(300, rpdb.Goto(500)),
		priority(400, rpdb.Nop()), priority(500, rpdb.Nop()), priority(4000000000, rpdb.Nop()))
	s.Rules[6], s.Rules[7], s.Rules[8] = s.Rules[7], s.Rules[8], s.Rules[6] // the last is behind those of the kernel
	for _, c := range []struct {
		look look
		want string
	}{
		{look{}, `
             0  from all lookup local    local is empty
 +-        100  from all goto 300        goes on at 300
 |         200  from all prohibit        not asked
 +>        300  from all goto 500        goes on at 500
 |         400  from all nop             not asked
 +>        500  from all nop             does nothing
>        32766  from all lookup main     default via 192.0.2.1 dev eth0
         32767  from all lookup default  not asked
    4000000000  from all nop             not asked
`},
		{look{arrows: true}, `
             0  from all lookup local    local is empty
 ` + "\u250c\u2500" + `        100  from all goto 300        goes on at 300
 ` + "\u2502" + `         200  from all prohibit        not asked
 ` + "\u251c\u25ba" + `        300  from all goto 500        goes on at 500
 ` + "\u2502" + `         400  from all nop             not asked
 ` + "\u2514\u25ba" + `        500  from all nop             does nothing
` + "\u25ba" + `        32766  from all lookup main     default via 192.0.2.1 dev eth0
         32767  from all lookup default  not asked
    4000000000  from all nop             not asked
`},
	} {
		if got := viewOf(c.look, s); got != c.want {
			t.Errorf("%+v: got %s\nwant %s", c.look, got, c.want)
		}
	}
}

// tenThousandRules is a host with ten thousand rules: of sources that are not the
// packet's, with an empty table among them, jumped over, and behind the end.
func tenThousandRules() *rpdb.Snapshot {
	var rules []rpdb.Rule
	from := func(p rpdb.Priority) rpdb.Rule {
		r := priority(p, rpdb.ToTable(100))
		r.Selector.From = netip.MustParsePrefix("198.51.100.7/32")
		return r
	}
	for p := rpdb.Priority(1); p <= 3000; p++ {
		rules = append(rules, from(p))
	}
	rules[1000] = priority(1001, rpdb.ToTable(999))
	rules[1002] = priority(1003, rpdb.Nop())
	rules[1005].Selector.From, rules[1005].Selector.Not = netip.Prefix{}, true
	rules[1001].Selector = rpdb.Selector{Mark: rpdb.Mark{Value: 7, Mask: 7}}
	rules = append(rules, priority(3001, rpdb.Goto(6000)))
	for p := rpdb.Priority(3002); p <= 6020; p++ {
		rules = append(rules, from(p))
	}
	s := ruleHost(rules...)
	for p := rpdb.Priority(40000); p < 44000; p++ {
		s.Rules = append(s.Rules, from(p))
	}
	return s
}

func TestManyRulesAreFolded(t *testing.T) {
	s := tenThousandRules()
	const want = `
           ... 3,001 rules passed: 2,996 do not match from, 1 does not match fwmark, 1 would match but for "not", 2 found no route, 1 did nothing (0 to 3000; --all lists them)
 +-  3001  from all goto 6000            goes on at 6000
 |         ... 2,998 rules not asked (3002 to 5999; --all lists them)
 +>  6000  from 198.51.100.7 lookup 100  from: packet has none yet, rule wants 198.51.100.7
`
	text := viewOf(look{}, s)
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "... 4,001 rules not asked (32767 to 43999; --all lists them)\n") {
		t.Errorf("got %s\nwant %s", text, want)
	}
	if lines := strings.Count(text, "\n"); lines > 40 {
		t.Errorf("%d lines", lines)
	}
	if lines := strings.Count(viewOf(look{all: true}, s), "\n"); lines != len(s.Rules)+1 {
		t.Errorf("with --all %d lines of %d rules", lines, len(s.Rules))
	}
}

// TestWalkFitsTheTerminal at every width that is one; what is said stays the
// same.
func TestWalkFitsTheTerminal(t *testing.T) {
	s := tenThousandRules()
	r := priority(44000, rpdb.ToTable(100))
	r.Selector = rpdb.Selector{From: netip.MustParsePrefix("198.51.100.0/24"), To: netip.MustParsePrefix("203.0.113.0/24"), IIF: "lo", OIF: "eth0"}
	s.Rules = append(s.Rules[:1:1], append([]rpdb.Rule{r}, s.Rules[1:]...)...)
	s.Rules[1].Priority = 0
	steps := stepsOf(s)
	plain := strings.Fields(viewSteps(look{}, s, steps))
	for width := 40; width < 240; width += 1 + width/30 {
		text := viewSteps(look{width: width}, s, steps)
		for line := range strings.Lines(text) {
			if n := columnsOf(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("width %d: %d columns: %s", width, n, line)
			}
		}
		if got := strings.Fields(text); len(got) < len(plain) {
			t.Fatalf("width %d: %d words of %d:\n%s", width, len(got), len(plain), text)
		}
	}
}

// TestDetailsStandInAColumn, also behind rules that are longer than a terminal has
// room for, such as those that translate.
func TestDetailsStandInAColumn(t *testing.T) {
	translates := priority(500, rpdb.ToTable(84500))
	translates.Family, translates.Selector.From = rpdb.IPv6, netip.MustParsePrefix("fd00:1::/64")
	nat := rpdb.Translation{
		Family: rpdb.IPv6, Kind: rpdb.TranslateNeutral, From: netip.MustParsePrefix("fd00:1::/64"), To: netip.MustParsePrefix("2001:db8:c::/64"), Realm: 12500,
	}
	s := ruleHost(priority(100, rpdb.Nop()), translates)
	for i := range s.Rules {
		s.Rules[i].Family = rpdb.IPv6
	}
	w := newWords(s.LinkName, rpdb.Names{})
	w.nat = []rpdb.Translation{nat}
	steps := fib.Compile(s).Trace(rpdb.Flow{Dst: netip.MustParseAddr("2001:db8:f::1"), Src: netip.MustParseAddr("fd00:1::7")}).Lookups[0].Steps()
	lines := newWalkView(look{all: true}, w, steps).lines()
	if rule := w.rule(translates); len(rule) <= maxRuleColumn || !strings.Contains(strings.Join(lines, "\n"), rule) {
		t.Fatalf("%q is not long, or not in\n%s", rule, strings.Join(lines, "\n"))
	}
	column := regexp.MustCompile(`^(.*\S  +)\S`) // behind the widest gap, at the right
	var at []int
	for _, line := range lines {
		at = append(at, len(column.FindStringSubmatch(line)[1]))
	}
	for _, n := range at {
		if n != at[0] {
			t.Fatalf("details begin at %d:\n%s", at, strings.Join(lines, "\n"))
		}
	}
}

// TestColorOnlyRepeats: without the escapes the text is the same.
func TestColorOnlyRepeats(t *testing.T) {
	s := ruleHost(priority(100, rpdb.Nop()))
	colored := viewOf(look{color: true}, s)
	if !strings.Contains(colored, "\x1b[1m>  32766") || !strings.Contains(colored, "\x1b[2m   32767") {
		t.Errorf("%q", colored)
	}
	if plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored, ""); plain != viewOf(look{}, s) {
		t.Errorf("%s", plain)
	}
}

// TestLookIsTheTerminals: colour, drawing and width are for terminals, and
// NO_COLOR and the locale are heard.
func TestLookIsTheTerminals(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 60, Row: 24}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		out                      any
		color, noColor, term, lc string
		want                     look
	}{
		{terminal, "auto", "", "xterm", "C.UTF-8", look{width: 59, arrows: true, color: true}},
		{terminal, "auto", "1", "xterm", "C.UTF-8", look{width: 59, arrows: true}},
		{terminal, "auto", "", "dumb", "C", look{width: 59}},
		{terminal, "never", "", "xterm", "de_DE.utf8", look{width: 59, arrows: true}},
		{terminal, "always", "1", "xterm", "POSIX", look{width: 59, color: true}},
		{&strings.Builder{}, "auto", "", "xterm", "C.UTF-8", look{}},
		{&strings.Builder{}, "always", "", "xterm", "C.UTF-8", look{color: true}},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			for name, value := range map[string]string{"NO_COLOR": c.noColor, "TERM": c.term, "LC_ALL": c.lc} {
				t.Setenv(name, value)
			}
			a := &app{color: c.color, Streams: Streams{Out: &answer{}}}
			switch w := c.out.(type) {
			case *os.File:
				a.Out = &answer{w: w}
			case *strings.Builder:
				a.Out = &answer{w: w}
			}
			if got := a.look(); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestLocale(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "en_US.UTF-8", true},
		{"C", "", "en_US.UTF-8", false},
		{"", "C.utf8", "C", true},
		{"", "", "de_DE.ISO-8859-1", false},
	} {
		env := map[string]string{"LC_ALL": c.all, "LC_CTYPE": c.ctype, "LANG": c.lang}
		if got := isUTF8(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestNamesCannotReachTheTerminal: whoever names an interface says nothing to
// the terminal, in any part of an explanation.
func TestNamesCannotReachTheTerminal(t *testing.T) {
	r := priority(100, rpdb.ToTable(100))
	r.Selector.OIF = "a\x1b[2Jb"
	s := ruleHost(r)
	s.Links[1].Name = "e\x1b]0;x\x07"
	s.Routes[0].Nexthops = append(s.Routes[0].Nexthops, rpdb.Nexthop{Link: 1})
	for _, words := range []string{"203.0.113.7", "203.0.113.7 connect", "203.0.113.7 from 198.51.100.1 iif e\x1b]0;x\x07"} {
		args := append([]string{"explain"}, strings.Split(words, " ")...)
		_, out, errs := call(t, s, args...)
		if out == "" || strings.ContainsAny(out+errs, "\x1b\x07") {
			t.Errorf("%q\n%q", out, errs)
		}
	}
}

func TestFateInWords(t *testing.T) {
	in4 := rpdb.Flow{Dst: netip.MustParseAddr("192.0.2.1"), IIF: "eth0"}
	in6 := rpdb.Flow{Dst: netip.MustParseAddr("2001:db8::1"), IIF: "eth0"}
	for _, c := range []struct {
		flow rpdb.Flow
		d    rpdb.Decision
		want string
	}{
		{rpdb.Flow{}, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EHOSTUNREACH}, "is not sent: EHOSTUNREACH, no route to host"},
		{in4, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EHOSTUNREACH, ICMP: rpdb.ICMPError{Type: 3, Code: 1}}, "is not forwarded: EHOSTUNREACH, the sender gets ICMP 3/1, host unreachable"},
		{in4, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EACCES, ICMP: rpdb.ICMPError{Type: 3, Code: 13}}, "is not forwarded: EACCES, the sender gets ICMP 3/13, administratively prohibited"},
		{in4, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EINVAL}, "is not forwarded: EINVAL, dropped without a word to the sender"},
		{in6, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.ENETUNREACH, ICMP: rpdb.ICMPError{Type: 1}}, "is not forwarded: ENETUNREACH, the sender gets ICMPv6 1/0, no route to destination"},
		{in6, rpdb.Decision{Disposition: rpdb.Martian, Errno: rpdb.EINVAL, ICMP: rpdb.ICMPError{Type: 1, Code: 2}, Note: "why"}, "is dropped on arrival, the sender gets ICMPv6 1/2, beyond scope of source address (why)"},
		{in6, rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EINVAL, ICMP: rpdb.ICMPError{Type: 9, Code: 9}}, "is not forwarded: EINVAL, the sender gets ICMPv6 9/9"},
	} {
		if got := fateLine(c.flow, c.d); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// emptyHost has rules and no routes.
func emptyHost() *rpdb.Snapshot {
	return &rpdb.Snapshot{Rules: append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)}
}

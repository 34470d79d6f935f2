package iproute2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// listed is what a program printed: text, or JSON.
type listed struct {
	bytes.Buffer
	json     *ipjson.Writer // nil for text
	line     []byte
	printed  int // not repeated
	repeated int
}

func (l *listed) inJSON(json, pretty bool) {
	if json {
		l.json = ipjson.NewWriter(&l.Buffer, pretty)
	}
}

// add prints an entry in one of both ways.
func (l *listed) add(text func([]byte) []byte, fields func(iproute2.Sink)) ([]byte, error) {
	l.printed++
	if l.json != nil {
		l.json.Begin()
		fields(l.json)
		l.json.End()
		return l.json.Last(), nil
	}
	l.line = append(text(l.line[:0]), '\n')
	l.Write(l.line)
	return l.line, nil
}

func (l *listed) Repeat(text []byte) error {
	l.repeated++
	if l.json != nil {
		l.json.Again(text)
		return nil
	}
	_, err := l.Write(text)
	return err
}

func (l *listed) text() string {
	if l.json != nil {
		_ = l.json.Close()
		l.json = nil
	}
	return l.String()
}

// measure lists messages again and again.
func (l *listed) measure(b *testing.B, list [][]byte, add func([]byte) error) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if l.Len() > 1<<20 {
			l.Reset()
		}
		if err := add(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	}
}

// allocates counts the allocations of listing messages, once everything has the room
// that it needs.
func (l *listed) allocates(t *testing.T, list [][]byte, add func([]byte) error) float64 {
	all := func() {
		l.Reset()
		for _, m := range list {
			if err := add(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 {
		all()
	}
	return testing.AllocsPerRun(10, all)
}

// wants compares line by line what was printed.
func (l *listed) wants(t *testing.T, want *listed, about string) {
	t.Helper()
	a, b := strings.Split(l.text(), "\n"), strings.Split(want.text(), "\n")
	for n := range min(len(a), len(b)) {
		if a[n] != b[n] {
			t.Fatalf("%s: line %d is %q\nwant %q", about, n, a[n], b[n])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%s: %d lines, want %d", about, len(a), len(b))
	}
}

// routeListing prints entries as a program does.
type routeListing struct {
	listed
	lister  *iproute2.RouteLister
	decoder kernel.RouteDecoder
}

func newRouteListing(v iproute2.RouteView, json, pretty bool) *routeListing {
	l := &routeListing{lister: iproute2.NewRouteLister(v)}
	l.inJSON(json, pretty)
	return l
}

func (l *routeListing) Read(payload []byte, e *iproute2.RouteEntry) error {
	return l.decoder.DecodeInto(payload, &e.Route, &e.RouteDetails)
}

func (l *routeListing) Print(e *iproute2.RouteEntry) ([]byte, error) {
	return l.add(func(b []byte) []byte { return l.lister.AppendText(b, e) }, func(to iproute2.Sink) { l.lister.Fields(e, to) })
}

// message is the payload of what the kernel says of an entry.
func message(t testing.TB, e iproute2.RouteEntry) []byte {
	b, err := kernel.EncodeRoute(e.Route)
	if err != nil {
		t.Fatal(err)
	}
	flags := binary.NativeEndian.Uint32(b[8:]) | e.RouteDetails.Flags
	binary.NativeEndian.PutUint32(b[8:], flags)
	if c, ok := e.Cache.Get(); ok {
		b = append(b, attr(12, native32(c.Users), native32(c.Age), native32(uint32(c.Expires)), native32(uint32(c.Error)),
			native32(c.Used), native32(c.ID), native32(c.TS), native32(c.TSAge))...)
	}
	return b
}

// elsewhere gives a message another destination, as long as there is one.
func (g generator) elsewhere(payload []byte) []byte {
	b := slices.Clone(payload)
	if dst := attribute(b, 1); dst != nil {
		for i := range dst {
			dst[i] = byte(pick(g, 0, 0, 9, 10, 99, 100, 192, 255, g.IntN(256)))
		}
		b[1] = byte(g.IntN(8*len(dst) + 1))
	}
	return b
}

// attribute returns the value of an attribute of a message, nil if it has none.
func attribute(payload []byte, number uint16) []byte {
	for b := payload[12:]; len(b) > 0; {
		n := int(binary.NativeEndian.Uint16(b))
		if binary.NativeEndian.Uint16(b[2:]) == number {
			return b[4:n]
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// messages are those of a list in which many routes look alike but for their
// destination, and of which some are spoilt.
func (g generator) messages(t testing.TB, n int) (list [][]byte) {
	var kinds [][]byte
	for range 12 {
		e := g.entry()
		if g.chance() {
			e.RouteDetails.Flags = pick[uint32](g, 0x200, 0x10, 0x4000, 0x5)
		}
		if g.chance() {
			e.Cache = rpdb.Some(rpdb.RouteCache{Users: g.Uint32N(3), Age: 250, Expires: int32(g.Uint32N(3)) * 1000, Error: -int32(g.Uint32N(2)), Used: g.Uint32N(3)})
		}
		kinds = append(kinds, message(t, e))
	}
	for range n {
		m := g.elsewhere(kinds[g.IntN(len(kinds))])
		if g.IntN(8) == 0 {
			m[g.IntN(len(m))] ^= 1 << g.IntN(8)
		}
		if g.IntN(50) == 0 { // a second destination, which counts
			m = append(m, attr(pick[uint16](g, 1, 1|0x8000), string([]byte{10, 9, 8, byte(g.Uint32())}))...)
		}
		if g.IntN(50) == 0 {
			m = m[:g.IntN(len(m))]
		}
		list = append(list, m)
	}
	return list
}

// oneByOne lists messages as they would be without a stream.
func oneByOne(l *routeListing, f iproute2.RouteFilter, messages [][]byte) (failed []string) {
	for i, m := range messages {
		var e iproute2.RouteEntry
		switch err := l.Read(m, &e); {
		case err != nil:
			failed = append(failed, fmt.Sprint(i, err))
		case f.Match(e):
			_, _ = l.Print(&e)
		}
	}
	return failed
}

// streamViews are views whose listings differ, with names that depend on what was
// listed before.
func streamViews() []iproute2.RouteView {
	plain := rawView()
	plain.Names.Scopes = map[rpdb.Scope]string{253: "wire", 77: "region"}
	plain.Names.Protocols = map[rpdb.Protocol]string{2: "core", 200: "mine"}
	views := []iproute2.RouteView{plain}
	for _, change := range []func(*iproute2.RouteView){
		func(v *iproute2.RouteView) { v.Details, v.Stats, v.Raw = true, true, false },
		func(v *iproute2.RouteView) { v.Numeric, v.OneLine = true, true },
		func(v *iproute2.RouteView) { v.Family, v.Exact = true, true },
		func(v *iproute2.RouteView) { v.Color = iproute2.DarkBackground },
		func(v *iproute2.RouteView) {
			v.Color, v.Hide = iproute2.LightBackground, iproute2.ColumnDev|iproute2.ColumnTable|iproute2.ColumnVia
		},
	} {
		v := plain
		change(&v)
		views = append(views, v)
	}
	return views
}

// However a list is long and whatever is in it, a stream prints what is printed
// route by route.
func TestRouteStreamEqualsRouteByRoute(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(7, 8))}
	filters := []string{
		"table all", "table 100", "table all root 128.0.0.0/1", "table all match 192.168.9.9", "table all exact 10.0.0.0/8", "table all scope link",
		"table all proto 82", "table all type local", "cached table all", "table all from root ::/1", "table main", "table all via 10.0.0.0/1",
	}
	repeated, printed := 0, 0
	for round := range 48 {
		messages := g.messages(t, 600)
		words := filters[round%len(filters)]
		f, err := context().ParseRouteFilter(iproute2.RouteList, strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		byDestination := slices.Contains([]string{"root", "match", "exact"}, strings.Fields(words)[2%len(strings.Fields(words))])
		if g.chance() {
			f = f.WithMembers()
		}
		for i, v := range streamViews() {
			json, pretty := g.chance(), g.chance()
			v.State = &iproute2.NameState{}
			want := newRouteListing(v, json, pretty)
			wantFailed := oneByOne(want, f, messages)

			v.State = &iproute2.NameState{}
			got := newRouteListing(v, json, pretty)
			s := iproute2.NewRouteStream(v, f, got)
			var failed []string
			for i, m := range messages {
				if err := s.Add(m); err != nil {
					failed = append(failed, fmt.Sprint(i, err))
				}
			}
			if !byDestination && !slices.Equal(failed, wantFailed) {
				t.Fatalf("%s: errors are %q\nwant %q", words, failed, wantFailed)
			}
			got.wants(t, &want.listed, fmt.Sprintf("%s, view %d, json %v", words, i, json))
			repeated, printed = repeated+got.repeated, printed+want.printed
		}
	}
	if repeated < printed/2 || printed < 10_000 {
		t.Errorf("%d routes printed, and only %d of them were like one in front of them", printed, repeated)
	}
}

// notLooked is how many entries at the beginning of a list are not looked at.
const notLooked = 8

// A view that changes on the way is one that the printer says it of.
func TestRouteStreamForgets(t *testing.T) {
	v := rawView()
	l := newRouteListing(v, false, false)
	s := iproute2.NewRouteStream(v, iproute2.RouteFilter{}, l)
	m := message(t, entry(t, "192.0.2.0/24 dev v0 table 100"))
	for i := range notLooked + 3 {
		if i == notLooked+2 {
			v.Names.Tables = map[rpdb.TableID]string{100: "uplink"}
			l.lister = iproute2.NewRouteLister(v)
			s.Forget()
		}
		if err := s.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	line := "192.0.2.0/24 dev v0 table 100 scope link \n"
	if got, want := l.text(), strings.Repeat(line, notLooked+2)+strings.Replace(line, "100", "uplink", 1); got != want || l.repeated != 1 {
		t.Errorf("got %q, %d repeated\nwant %q", got, l.repeated, want)
	}
}

// Routes that are all unlike are not searched for what they have in common, until
// there is something.
func TestRouteStreamOfUnlikeRoutes(t *testing.T) {
	l := newRouteListing(rawView(), false, false)
	s := iproute2.NewRouteStream(rawView(), iproute2.RouteFilter{}, l)
	add := func(routes, kinds int) {
		e := entry(t, "192.0.2.0/24 dev v0")
		for i := range routes {
			e.Metric = uint32(i % kinds)
			if err := s.Add(message(t, e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(5000, 5000)
	if l.repeated > 0 {
		t.Errorf("%d routes that are unlike were repeated", l.repeated)
	}
	add(10_000, 5)
	if l.repeated < 5000 {
		t.Errorf("only %d routes that are alike were repeated", l.repeated)
	}
	if n := strings.Count(l.text(), "\n"); n != 15_000 {
		t.Errorf("%d lines", n)
	}
}

// failing is a printer that cannot.
type failing struct{ routeListing }

var errFull = errors.New("no space left")

func (failing) Print(*iproute2.RouteEntry) ([]byte, error) { return nil, errFull }

func TestRouteStreamErrors(t *testing.T) {
	s := iproute2.NewRouteStream(rawView(), iproute2.RouteFilter{}, &failing{})
	m := message(t, entry(t, "192.0.2.0/24 dev v0"))
	for range 2 {
		if err := s.Add(m); err != errFull {
			t.Errorf("got %v, want %v", err, errFull)
		}
	}
	if err := s.Add(m[:18]); err == nil || err == errFull {
		t.Errorf("a message that is cut off: %v", err)
	}
}

// streamed lists messages as text, in the middle of a list.
func streamed(t *testing.T, v iproute2.RouteView, messages ...[]byte) string {
	t.Helper()
	l := newRouteListing(v, false, false)
	s := iproute2.NewRouteStream(v, iproute2.RouteFilter{}, l)
	for range notLooked {
		if err := s.Add(messages[0]); err != nil {
			t.Fatal(err)
		}
	}
	l.Reset()
	for _, m := range messages {
		if err := s.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	return l.text()
}

// Names of hosts are those of destinations too.
func TestRouteStreamHostNames(t *testing.T) {
	v := rawView()
	v.HostName = func(a netip.Addr) string {
		return map[string]string{"192.0.2.2": "gw.example"}[a.String()]
	}
	got := streamed(t, v, message(t, entry(t, "192.0.2.1 dev v0")), message(t, entry(t, "192.0.2.2 dev v0")))
	if want := "192.0.2.1 dev v0 scope link \ngw.example dev v0 scope link \n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of two destinations in a message the last counts.
func TestRouteStreamDestinationTwice(t *testing.T) {
	a, b := message(t, entry(t, "192.0.2.1 dev v0")), message(t, entry(t, "192.0.2.2 dev v0"))
	for _, number := range []uint16{1, 1 | 0x8000} {
		again := attr(number, "\xc0\x00\x02\x01")
		got := streamed(t, rawView(), append(slices.Clip(a), again...), append(slices.Clip(b), again...))
		if want := strings.Repeat("192.0.2.1 dev v0 scope link \n", 2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A list is as long as the internet: no route costs an allocation, whether one like
// it was listed or not.
func TestRouteStreamAllocates(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(9, 9))}
	for _, json := range []bool{false, true} {
		v := rawView()
		v.LinkName = func(rpdb.LinkIndex) rpdb.LinkName { return "v0" }
		l := newRouteListing(v, json, false)
		s := iproute2.NewRouteStream(v, iproute2.RouteFilter{}, l)
		var list [][]byte
		for i := range 2000 {
			e := entry(t, "192.0.2.0/24 via 198.51.100.1 dev v0 proto static table 100")
			e.Metric = uint32(i % 500)
			list = append(list, g.elsewhere(message(t, e)))
		}
		if allocs := l.allocates(t, list, s.Add); allocs > 20 {
			t.Errorf("json %v: %v allocations in %d routes", json, allocs, len(list))
		}
	}
}

func BenchmarkRouteStream(b *testing.B) {
	g := generator{rand.New(rand.NewPCG(9, 9))}
	for _, form := range []string{"text", "fields"} {
		for _, kinds := range []int{8, 100_000} {
			b.Run(fmt.Sprintf("%s/%d kinds", form, kinds), func(b *testing.B) {
				v := rawView()
				v.LinkName = func(rpdb.LinkIndex) rpdb.LinkName { return "v0" }
				l := newRouteListing(v, form == "fields", false)
				s := iproute2.NewRouteStream(v, iproute2.RouteFilter{}, l)
				m := message(b, iproute2.RouteEntry{Route: rpdb.Route{
					Family: rpdb.IPv4, Table: 100, Type: 1, Protocol: 186, Dst: netip.MustParsePrefix("192.0.2.0/24"), Metric: 1,
					Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("198.51.100.1"), Link: 2}},
				}})
				var list [][]byte
				for i := range 100_000 {
					m := g.elsewhere(m)
					binary.NativeEndian.PutUint32(attribute(m, 6), uint32(i%kinds))
					list = append(list, m)
				}
				l.measure(b, list, s.Add)
			})
		}
	}
}

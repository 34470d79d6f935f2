package iproute2

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// RouteEntries cuts a listing of routes into its entries, one of which may have
// several lines: those that begin with white space belong to the line before.
func RouteEntries(listing string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for listing != "" {
			end := 0
			for more := true; more; more = end < len(listing) && strings.IndexByte(" \t", listing[end]) >= 0 {
				if n := strings.IndexByte(listing[end:], '\n'); n >= 0 {
					end += n + 1
				} else {
					end = len(listing)
				}
			}
			entry := strings.TrimSuffix(listing[:end], "\n")
			listing = listing[end:]
			if entry != "" && !yield(entry) {
				return
			}
		}
	}
}

// ParseListing reads one entry of "ip route show" or "ip route get", with all
// of its lines, as ip prints it with any of -4, -6, -d, -o and -s, or as a view
// with Family does. Names are read as they were printed; with -N there are none.
// The family of the context counts; with 0 there, what the entry says.
//
// Not every listing holds the whole route: columns that a filter hid count as
// what ip leaves out by default, times are rounded, and names may be ambiguous.
// What is there is read strictly; the error names the entry.
func (c RouteContext) ParseListing(entry string) (RouteEntry, error) {
	p := routeListing{b: NewRouteBuilder(c), words: listingWords(entry)}
	p.head()
	for len(p.words) > 0 && p.b.err == nil {
		p.field(p.next())
	}
	if p.members { // of the last member, and of the list
		p.b.End()
		p.b.End()
	}
	e, err := p.b.Entry()
	if err != nil {
		return RouteEntry{}, fmt.Errorf("read listing %q: %w", entry, err)
	}
	return e, nil
}

// listingWords returns the words of an entry without what the listing says of
// its nexthop object, which is no part of the route.
func listingWords(entry string) (words []string) {
	entry = strings.NewReplacer("\\\t", "\n\t", `\    cache `, "\n    cache ").Replace(entry)
	object := false
	for line := range strings.SplitSeq(entry, "\n") {
		switch {
		case strings.HasPrefix(line, "\tnh_info "):
			object = true
		case strings.HasPrefix(line, "\tnexthop "):
			object = false
		}
		if !object {
			words = append(words, strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })...)
		}
	}
	return words
}

// routeListing turns the words of an entry into fields.
type routeListing struct {
	b       *RouteBuilder
	words   []string
	members bool // we are in the list of nexthops
}

func (p *routeListing) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

// next takes a word, "" if there is none.
func (p *routeListing) next() string {
	if len(p.words) == 0 {
		p.b.fail("the entry stops short")
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

// head reads what stands in front without a keyword. No destination is a word
// of a type.
func (p *routeListing) head() {
	if p.peek() == "Deleted" {
		p.next()
		p.b.Literal("deleted", "", "true")
	}
	for _, f := range rpdb.Families() {
		if p.peek() == f.String() {
			p.next()
			p.b.String("family", "", familyWord(f))
		}
	}
	word := p.next()
	if word != "default" && !strings.ContainsAny(word, ".:") {
		p.b.String("type", "", word)
		word = p.next()
	}
	p.b.String("dst", "", word)
}

// field reads one word, and its value if it has one. Words of a tunnel come
// before those of what the tunnel belongs to.
func (p *routeListing) field(word string) {
	if tunnel := p.b.top().tunnel; tunnel != nil {
		// The DS field of a route is no decimal number, that of a tunnel is.
		if p.tunnelWord(word) || (word != "tos" || isDigits(p.peek())) && p.plain(tunnel, word, ofTunnel) {
			return
		}
		p.b.endTunnel()
	}
	_, isFlag := bitOf(flagWords, word)
	_, isMetric := metricByWord(word)
	switch {
	case p.structured(word):
	case isFlag:
		p.list("flags", word, func(w string) bool { _, ok := bitOf(flagWords, w); return ok })
	case !p.members && (isMetric || word == "features" || word == "congctl"):
		p.metrics(word)
	case p.plain(p.b.top().tree.list(), word, ""):
	case isDigits(word): // a preference without a word
		p.b.Literal("pref", "", word)
	default:
		p.b.fail("%q: unknown", word)
	}
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// plain reads a field that is a keyword and one value, or a keyword alone, as
// the text of the field says. It reports whether there is one.
func (p *routeListing) plain(list []lineField, word, prefix string) bool {
	for i := range list {
		f := &list[i]
		before, after, hasValue := strings.Cut(f.text, "%")
		keyword, digitsBefore, _ := strings.Cut(strings.TrimSpace(before), " ")
		if keyword != word || f.kind == treeField || (prefix != "" && slices.Contains(p.b.top().seen, prefix+f.key)) {
			continue
		}
		value := ""
		if hasValue {
			value = p.next()
			rest, ok := strings.CutPrefix(value, digitsBefore)
			rest, okAfter := strings.CutSuffix(rest, strings.TrimSpace(after))
			if !ok || !okAfter {
				p.b.fail("%s %q: bad value", word, value)
			}
			value = rest
		}
		p.give(f, value)
		return true
	}
	return false
}

// give hands a value over as programs would see it.
func (p *routeListing) give(f *lineField, value string) {
	switch {
	case f.key == "ttl-propogate": // one keyword for two fields
		p.b.Literal(f.key, "", map[string]string{"enabled": "true", "disabled": "false"}[p.next()])
	case f.kind == trueField:
		p.b.Literal(f.key, "", "true")
	case f.kind == nullField:
		p.b.Literal(f.key, "", "null")
	case f.key == "mark":
		p.b.Literal(f.key, "", p.mark(value))
	case f.key == "ipid", f.key == "hmac":
		p.b.String(f.key, "", p.fromHex(value))
	case f.key == "type" && f.kind == stringField:
		p.b.String(f.key, "", strings.TrimPrefix(value, "0x"))
	case f.kind == numberField:
		p.b.Literal(f.key, "", value)
	default:
		p.b.String(f.key, "", value)
	}
}

// mark is in hexadecimal from 16.
func (p *routeListing) mark(s string) string {
	var n uint32
	if !setHex(&n, s, 32) {
		return s
	}
	return decimal(n)
}

// fromHex writes digits without 0x as %#x of C does.
func (p *routeListing) fromHex(s string) string {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		p.b.fail("%q: not a hexadecimal number", s)
	}
	return hex(uint32(n))
}

// structured reads a field that has parts and reports whether the word begins
// one.
func (p *routeListing) structured(word string) bool {
	switch word {
	case "via":
		p.via()
	case "as":
		if to := p.next(); to != "to" {
			p.b.fail("as %q: want \"to\"", to)
		}
		p.b.String("to", "", p.next())
	case "encap":
		p.encap()
	case "realm", "realms":
		p.realms()
	case "cache":
		p.cache()
	case "nexthop":
		p.nexthop()
	default:
		return false
	}
	return true
}

// via reads a gateway, behind its family if it is not the route's.
func (p *routeListing) via() {
	word := p.next()
	if word != "inet" && word != "inet6" {
		p.b.String("gateway", "", word)
		return
	}
	p.b.Open("via", '{')
	p.b.String("family", "", word)
	p.b.String("host", "", p.next())
	p.b.End()
}

func (p *routeListing) realms() {
	from, to, pair := strings.Cut(p.next(), "/")
	p.b.Open("flow", '{')
	if pair {
		p.b.String("from", "", from)
	} else {
		to = from
	}
	p.b.String("to", "", to)
	p.b.End()
}

// cache reads the flags of an answer, in angle brackets if there are any.
func (p *routeListing) cache() {
	p.b.Open("cache", '[')
	if flags, ok := strings.CutPrefix(p.peek(), "<"); ok {
		p.next()
		flags, ok = strings.CutSuffix(flags, ">")
		if !ok {
			p.b.fail("%q: flags without end", flags)
		}
		for flag := range strings.SplitSeq(flags, ",") {
			p.b.String("", "", flag)
		}
	}
	p.b.End()
}

// list reads words of a kind that follow each other.
func (p *routeListing) list(key, word string, more func(string) bool) {
	p.b.Open(key, '[')
	p.b.String("", "", word)
	for more(p.peek()) {
		p.b.String("", "", p.next())
	}
	p.b.End()
}

func (p *routeListing) nexthop() {
	if p.members {
		p.b.End()
	} else {
		p.b.Open("nexthops", '[')
		p.members = true
	}
	p.b.Open("", '{')
}

// metrics reads the metrics, which follow each other.
func (p *routeListing) metrics(word string) {
	locks := uint32(0)
	p.b.Open("metrics", '[')
	p.b.Open("", '{')
	for p.metric(word, &locks); ; p.metric(p.next(), &locks) {
		if _, known := metricOfListing(p.peek()); !known && p.peek() != "metric" {
			break
		}
	}
	if locks != 0 {
		p.b.Literal("lock", "", decimal(locks))
	}
	p.b.End()
	p.b.End()
}

// metricOfListing returns the metric with a word.
func metricOfListing(word string) (rpdb.MetricType, bool) {
	for t := rpdb.MetricMTU; t <= rpdb.MetricFastOpenNoCookie; t++ {
		if metricWord(t) == word {
			return t, true
		}
	}
	return 0, false
}

// metric reads one metric, of which the word is taken, or behind "metric" the
// number of one that has no word.
func (p *routeListing) metric(word string, locks *uint32) {
	t, _ := metricOfListing(word)
	if word == "metric" {
		number := p.next()
		n, ok := digits(number, 8)
		if !ok {
			p.b.fail("metric %q: not a number", number)
		}
		t, word = rpdb.MetricType(n), "metric_"+number
	}
	if p.peek() == "lock" {
		p.next()
		*locks |= 1 << t
	}
	switch t {
	case rpdb.MetricFeatures:
		for p.peek() == "ecn" || p.peek() == "tcp_usec_ts" {
			p.b.Literal(p.next(), "", "null")
		}
		if strings.HasPrefix(p.peek(), "0x") {
			p.b.String("features", "", p.next())
		}
	case rpdb.MetricCongCtl:
		p.b.String("congestion", "", p.next())
	case rpdb.MetricRTT, rpdb.MetricRTTVar, rpdb.MetricRTOMin:
		p.b.Literal(word, "", p.milliseconds(p.next()))
	default:
		p.b.Literal(word, "", p.next())
	}
}

// milliseconds reads a time in seconds or milliseconds.
func (p *routeListing) milliseconds(s string) string {
	if ms, ok := strings.CutSuffix(s, "ms"); ok {
		return ms
	}
	text, ok := strings.CutSuffix(s, "s")
	n, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || !(n >= 1 && n*1000 < math.MaxUint32) {
		p.b.fail("%q: not a time", s)
		return ""
	}
	return strconv.FormatFloat(math.Round(n*1000), 'f', 0, 64)
}

// encap reads the kind of a tunnel, and what stands behind it without a word.
func (p *routeListing) encap() {
	kind := p.next()
	p.b.String("encap", "", kind)
	switch {
	case kind == "mpls":
		p.b.String("dst", "", p.next())
	case kind == "ila" && strings.Contains(p.peek(), ":"):
		p.b.String("locator", "", p.next())
	}
}

// tunnelWord reads a field of a tunnel that is more than a keyword and a value,
// and reports whether the word begins one.
func (p *routeListing) tunnelWord(word string) bool {
	kind := p.b.tunnel.kind
	switch {
	case word == "segs" && (kind == encapSeg6 || kind == encapRPL):
		p.segments()
	case word == "segs" && kind == encapSeg6Local:
		p.b.Open("srh", '{')
		p.segments()
		if p.peek() == "hmac" {
			p.next()
			p.b.String("hmac", "", p.fromHex(p.next()))
		}
		p.b.End()
	case word == "packets" && kind == encapSeg6Local:
		p.counters(word)
	case word == "flavors" && kind == encapSeg6Local:
		p.b.Open("flavors", '[')
		for flavor := range strings.SplitSeq(p.next(), ",") {
			p.b.String("", "", flavor)
		}
		p.b.End()
	case word == "freq" && kind == encapIOAM6:
		k, n, _ := strings.Cut(p.next(), "/")
		p.b.Literal("freqk", "", k)
		p.b.Literal("freqn", "", n)
	case kind == encapBPF && isDigits(word):
		p.b.Literal("headroom", "", word)
	case strings.HasSuffix(word, "_opts") && (kind == encapIP || kind == encapIP6):
		p.options(word)
	default:
		return false
	}
	return true
}

// segments reads "segs N [ ADDRESS... ]", whose first word is taken.
func (p *routeListing) segments() {
	count := p.next()
	if open := p.next(); open != "[" {
		p.b.fail("%q: want \"[\"", open)
	}
	n := 0
	p.b.Open("segs", '[')
	for ; len(p.words) > 0 && p.peek() != "]"; n++ {
		p.b.String("", "", p.next())
	}
	p.b.End()
	p.next()
	if decimal(n) != count {
		p.b.fail("%d segments, want %s", n, count)
	}
}

func (p *routeListing) counters(word string) {
	p.b.Open("stats64", '{')
	p.b.Literal(word, "", p.next())
	for _, key := range []string{"bytes", "errors"} {
		if have := p.next(); have != key {
			p.b.fail("%q: want %q", have, key)
		}
		p.b.Literal(key, "", p.next())
	}
	p.b.End()
}

// options reads options with commas between, each of parts with colons between.
func (p *routeListing) options(word string) {
	keys := map[string][]string{
		"geneve_opts": {"class", "type", "data"}, "vxlan_opts": {"gbp"}, "erspan_opts": {"ver", "index", "dir", "hwid"},
	}[word]
	p.b.Open(word, '[')
	for option := range strings.SplitSeq(p.next(), ",") {
		p.b.Open("", '{')
		parts := strings.Split(option, ":")
		if len(parts) != len(keys) {
			p.b.fail("%s %q: want %d parts", word, option, len(keys))
		}
		for i, key := range keys[:min(len(keys), len(parts))] {
			if key == "data" {
				p.b.String(key, "", parts[i])
			} else {
				p.b.Literal(key, "", parts[i])
			}
		}
		p.b.End()
	}
	p.b.End()
	p.b.endTunnel() // nothing of it stands behind them
}

package iproute2

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// The methods below are the set column of the fields of a route.

func (b *RouteBuilder) setDeleted(string) bool { b.entry.Deleted = true; return true }

func (b *RouteBuilder) setFamily(s string) bool {
	var f rpdb.Family
	err := f.UnmarshalText([]byte(s))
	return err == nil && f.Bits() != 0 && b.agree(f)
}

func (b *RouteBuilder) setType(s string) bool { return b.entry.Type.UnmarshalText([]byte(s)) == nil }

func (b *RouteBuilder) setDst(s string) bool {
	b.dst = s
	return s == "default" || b.decides(s)
}

func (b *RouteBuilder) setSrc(s string) bool {
	b.src = s
	return b.decides(s)
}

// decides lets the address of a prefix decide the family, for what comes behind.
func (b *RouteBuilder) decides(s string) bool {
	p := b.prefix(s)
	return b.err == nil && p.IsValid()
}

func (b *RouteBuilder) setNHID(s string) bool {
	return setNumber(&b.entry.NexthopID, s, 32) && b.entry.NexthopID != 0
}

func (b *RouteBuilder) setNewDst(s string) bool {
	a, ok := plainAddr(s)
	if ok {
		b.addUnknown(rtaNewDst, a.AsSlice())
	}
	return ok
}

func (b *RouteBuilder) addUnknown(typ uint16, value []byte) {
	w := wire(b.entry.Unknown)
	w.attribute(typ, value)
	b.entry.Unknown = rpdb.Raw(w)
}

func (b *RouteBuilder) setTOS(s string) bool {
	tos, ok := dsByName(b.context.Names, s)
	if !ok {
		ok = setHex(&tos, s, 8)
	}
	b.entry.TOS = tos
	return ok && tos != 0
}

func (b *RouteBuilder) setGateway(s string) bool {
	a, ok := plainAddr(s)
	b.hop.Via, b.seen.hop = a, b.seen.hop || b.hop == &b.single
	return ok && b.agree(rpdb.FamilyOf(a))
}

func (b *RouteBuilder) setViaFamily(s string) bool {
	return b.via.family.UnmarshalText([]byte(s)) == nil && b.via.family != 0
}

func (b *RouteBuilder) setViaHost(s string) (ok bool) {
	b.via.addr, ok = plainAddr(s)
	return ok
}

func (b *RouteBuilder) endVia() {
	if b.via.family != rpdb.FamilyOf(b.via.addr) || b.via.family == 0 {
		b.fail("field %q: %v is not of the family", "via", b.via.addr)
	}
	b.hop.Via, b.seen.hop = b.via.addr, b.seen.hop || b.hop == &b.single
	b.via = viaParts{}
}

func (b *RouteBuilder) setDev(s string) (ok bool) {
	b.hop.Link, ok = b.link(s)
	b.seen.hop = b.seen.hop || b.hop == &b.single
	return ok && b.hop.Link != 0
}

func (b *RouteBuilder) setMemberDev(s string) (ok bool) {
	b.hop.Link, ok = b.link(s)
	return ok
}

func (b *RouteBuilder) setTable(s string) (ok bool) {
	b.entry.Table, ok = b.context.Names.TableByName(s)
	return ok && b.entry.Table != 0
}

func (b *RouteBuilder) setProtocol(s string) (ok bool) {
	b.seen.protocol = true
	b.entry.Protocol, ok = b.context.Names.ProtocolByName(s)
	return ok
}

func (b *RouteBuilder) setScope(s string) (ok bool) {
	b.entry.Scope, ok = b.context.Names.ScopeByName(s)
	return ok
}

func (b *RouteBuilder) setPrefSrc(s string) (ok bool) {
	b.entry.PrefSrc, ok = plainAddr(s)
	return ok
}

func (b *RouteBuilder) setMetric(s string) bool { return setNumber(&b.entry.Metric, s, 32) }

func (b *RouteBuilder) setMark(s string) bool {
	return setNumber(&b.entry.Mark, s, 32) && b.entry.Mark != 0
}

func (b *RouteBuilder) setUID(s string) bool {
	var uid uint32
	ok := setNumber(&uid, s, 32)
	b.entry.UID = rpdb.Some(uid)
	return ok
}

// realms are those of the route, or of the member that is open.
func (b *RouteBuilder) realms() *rpdb.Realms {
	if b.hop == &b.member {
		return &b.member.Realms
	}
	return &b.entry.Realms
}

func (b *RouteBuilder) realm(s string) (uint16, bool) {
	n, ok := b.context.Names.RealmByName(s)
	return n, ok || s == "unknown" // which stands for 0
}

func (b *RouteBuilder) setRealmFrom(s string) bool {
	n, ok := b.realm(s)
	*b.realms() |= rpdb.NewRealms(n, 0)
	return ok && n != 0
}

func (b *RouteBuilder) setRealmTo(s string) bool {
	n, ok := b.realm(s)
	*b.realms() |= rpdb.NewRealms(0, n)
	return ok
}

func (b *RouteBuilder) setFlag(word string) bool {
	bit, ok := bitOf(flagWords, word)
	if b.hop == &b.member {
		b.member.Flags |= rpdb.NexthopFlags(bit)
		return ok && bit&^nexthopFlagBits == 0
	}
	b.flags |= bit
	return ok
}

func bitOf(list []flagWord, word string) (uint32, bool) {
	for _, f := range list {
		if f.word == word {
			return f.bit, true
		}
	}
	return 0, false
}

func (b *RouteBuilder) setCacheFlag(word string) bool {
	bit, ok := bitOf(cacheWords, word)
	if !ok { // bits without a word come together, in hexadecimal
		n, err := strconv.ParseUint(word, 16, 32)
		bit, ok = uint32(n), err == nil && n != 0
	}
	b.flags |= bit
	return ok
}

func (b *RouteBuilder) setExpires(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || s[0] == '+' || n < -1<<31/ticks || n > (1<<31-1)/ticks {
		return false
	}
	if b.cache.Expires, b.seen.cache = int32(n)*ticks, true; n == 0 {
		b.cache.Expires = 1 // less than a second is told, none is not
	}
	b.entry.Expires = uint32(max(b.cache.Expires+ticks-1, 0)) / ticks
	return true
}

func (b *RouteBuilder) setError(s string) bool {
	var n uint32
	ok := setNumber(&n, s, 32)
	b.cache.Error, b.seen.cache = int32(n), true
	return ok && n != 0
}

func (b *RouteBuilder) setUsers(s string) bool {
	b.seen.cache = true
	return setNumber(&b.cache.Users, s, 32)
}

func (b *RouteBuilder) setUsed(s string) bool {
	b.seen.cache = true
	return setNumber(&b.cache.Used, s, 32)
}

func (b *RouteBuilder) setAge(s string) bool {
	ok := setNumber(&b.cache.Age, s, 32) && b.cache.Age <= (1<<32-1)/ticks
	if b.cache.Age, b.seen.cache = b.cache.Age*ticks, true; b.cache.Age == 0 {
		b.cache.Age = 1 // as above
	}
	return ok
}

func (b *RouteBuilder) setIPID(s string) bool {
	b.seen.cache = true
	return setHex(&b.cache.ID, s, 32)
}

func (b *RouteBuilder) setTimestamp(s string) bool {
	b.seen.cache = true
	return setHex(&b.cache.TS, s, 32)
}

func (b *RouteBuilder) setTimestampAge(s string) bool {
	b.seen.cache = true
	return setNumber(&b.cache.TSAge, s, 32)
}

func (b *RouteBuilder) setIIF(s string) (ok bool) {
	b.entry.IIF, ok = b.link(s)
	return ok && b.entry.IIF != 0
}

// setPreference takes a word, or the number of a preference that has none.
func (b *RouteBuilder) setPreference(s string) bool {
	b.seen.pref = true
	return b.entry.Pref.UnmarshalText([]byte(s)) == nil
}

func (b *RouteBuilder) setTTLPropagated(string) bool {
	b.addUnknown(rtaTTLPropagate, []byte{1})
	return true
}

func (b *RouteBuilder) setTTLNotPropagated(string) bool {
	b.addUnknown(rtaTTLPropagate, []byte{0})
	return true
}

// setUnknown takes all attributes that are not known, those that have words of
// their own among them.
func (b *RouteBuilder) setUnknown(s string) bool {
	raw, err := base64.StdEncoding.DecodeString(s)
	b.entry.Unknown = rpdb.Raw(raw)
	return err == nil && len(raw) > 0
}

func (b *RouteBuilder) beginMember() { b.member, b.hop = rpdb.Nexthop{}, &b.member }

func (b *RouteBuilder) endMember() {
	if b.cloned() && b.entry.Type == rpdb.RouteMulticast && b.member.Weight == 0 {
		b.member.Weight = 2 // a threshold of 1 is not told
	}
	if b.member.Weight == 0 {
		b.fail("field %q is missing", "weight")
	}
	b.entry.Nexthops = append(b.entry.Nexthops, b.member)
	b.hop = &b.single
}

func (b *RouteBuilder) setWeight(s string) bool {
	return setNumber(&b.member.Weight, s, 32) && b.member.Weight != 0
}

func (b *RouteBuilder) setThreshold(s string) bool {
	ok := setNumber(&b.member.Weight, s, 8)
	b.member.Weight++
	return ok
}

// setOneMetric takes a metric by its word, or what is written of metrics for
// those who want all of it.
func (b *RouteBuilder) setOneMetric(key string, kind fieldKind, s string) bool {
	switch key {
	case "congestion":
		b.addMetric(rpdb.Metric{Type: rpdb.MetricCongCtl, Text: s})
		return kind == stringField && s != ""
	case "ecn":
		b.addFeatures(featureECN)
		return kind == nullField
	case "tcp_usec_ts":
		b.addFeatures(featureTCPUsecTS)
		return kind == nullField
	case "features":
		var bits uint32
		ok := setHex(&bits, s, 32)
		b.addFeatures(bits)
		return kind == stringField && ok
	}
	return kind == numberField && b.setMetricNumber(key, s)
}

func (b *RouteBuilder) setMetricNumber(key, s string) bool {
	switch key {
	case "lock":
		return setNumber(&b.locks, s, 32) && b.locks != 0
	case "rtt_raw":
		return b.setRawTime(rpdb.MetricRTT, s)
	case "rttvar_raw":
		return b.setRawTime(rpdb.MetricRTTVar, s)
	}
	t, ok := metricByWord(key)
	var n uint32
	ok = setNumber(&n, s, 32) && ok
	unit := metricUnit(t)
	b.addMetric(rpdb.Metric{Type: t, Value: n * unit})
	return ok && n <= (1<<32-1)/unit
}

// metricUnit is how many of the kernel's units are one of a listing.
func metricUnit(t rpdb.MetricType) uint32 {
	switch t {
	case rpdb.MetricRTT:
		return rttUnit
	case rpdb.MetricRTTVar:
		return rttVarUnit
	}
	return 1
}

func metricByWord(word string) (rpdb.MetricType, bool) {
	for t := rpdb.MetricMTU; t <= rpdb.MetricFastOpenNoCookie; t++ {
		if metricWord(t) == word && t != rpdb.MetricCongCtl && t != rpdb.MetricFeatures {
			return t, true
		}
	}
	text, ok := strings.CutPrefix(word, "metric_")
	n, isNumber := digits(text, 8)
	return rpdb.MetricType(n), ok && isNumber && n > uint64(rpdb.MetricFastOpenNoCookie)
}

func (b *RouteBuilder) addMetric(m rpdb.Metric) { b.entry.Metrics = append(b.entry.Metrics, m) }

func (b *RouteBuilder) addFeatures(bits uint32) {
	for i := range b.entry.Metrics {
		if m := &b.entry.Metrics[i]; m.Type == rpdb.MetricFeatures {
			m.Value |= bits
			return
		}
	}
	b.addMetric(rpdb.Metric{Type: rpdb.MetricFeatures, Value: bits})
}

// setRawTime corrects a time that was rounded to milliseconds.
func (b *RouteBuilder) setRawTime(t rpdb.MetricType, s string) bool {
	for i := range b.entry.Metrics {
		if m := &b.entry.Metrics[i]; m.Type == t {
			return setNumber(&m.Value, s, 32)
		}
	}
	return false
}

// finishMetrics puts the metrics in order and the locks in front. What is
// locked and has no value is not told apart from what is locked at 0.
func (b *RouteBuilder) finishMetrics() {
	r := &b.entry.Route
	r.Metrics = slices.DeleteFunc(r.Metrics, func(m rpdb.Metric) bool {
		return m.Value == 0 && m.Text == "" && b.locks&(1<<m.Type) != 0
	})
	if b.locks != 0 {
		r.Metrics = append(r.Metrics, rpdb.Metric{Type: rpdb.MetricLock, Value: b.locks})
	}
	slices.SortFunc(r.Metrics, func(x, y rpdb.Metric) int { return cmp.Compare(x.Type, y.Type) })
	if len(r.Metrics) == 0 {
		r.Metrics = nil
	}
}

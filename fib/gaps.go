package fib

import (
	"slices"

	"rpdb"
)

// gaps is what the snapshot does not tell. Most has its place elsewhere: tables
// that are missing, settings of links.
type gaps struct {
	parts rpdb.Parts
	// idle is the same FIB for a host that does not forward IPv6, while this one
	// is for a host that does: it is not known which of them it is. Nil: it is.
	idle *FIB
}

const (
	noteNoTable     = "what the table holds is not in the snapshot"
	noteNoLocal     = "what table local holds is not in the snapshot"
	noteAddresses   = "the addresses of the interfaces are not in the snapshot"
	noteForwards4   = "whether the ingress interface forwards is not in the snapshot"
	noteForwards6   = "whether IPv6 forwarding is on is not in the snapshot"
	noteLocalnet    = "route_localnet of the interface is not in the snapshot"
	noteCheckMaybe  = "the reverse-path check depends on settings that are not in the snapshot"
	noteLinkdown    = "whether a route without carrier is used is not in the snapshot"
	noteMaybeVRF    = "whether the interface belongs to a VRF is not in the snapshot"
	noteSourceMaybe = "the source that connect finds is not in the snapshot"
)

// doubtful is a decision that holds only if something is so that is not known:
// unknown, with where the packet would go.
func doubtful(d rpdb.Decision, note string) rpdb.Decision {
	if d.Disposition == rpdb.DispositionUnknown {
		return d
	}
	return rpdb.Decision{Table: d.Table, Type: d.Type, Prefix: d.Prefix, Hop: d.Hop, Rule: d.Rule, Note: note}
}

func (f *FIB) noteGaps(s *rpdb.Snapshot) {
	f.gaps.parts = s.Missing
	if s.Missing.Has(rpdb.PartAddresses) {
		for _, r := range s.Routes {
			if r.Family == rpdb.IPv4 && r.Table == rpdb.TableLocal && r.Type == rpdb.RouteLocal && r.Dst.IsSingleIP() {
				f.local4[r.Dst.Addr()] = true
			}
		}
	}
	if s.Sysctls.All.Unknown.Has(rpdb.SettingForwarding6) {
		f.sysctls.forward6, f.gaps.idle = true, f
	}
}

// splitForwarding6 makes the FIB for a host that does not forward IPv6. It
// shares everything but that.
func (f *FIB) splitForwarding6() {
	if f.gaps.idle == nil {
		return
	}
	idle := *f
	idle.sysctls.forward6, idle.gaps.idle = false, nil
	f.gaps.idle = &idle
}

// unknownSettings returns the settings of an interface that are not known from
// its own values and those of conf.all: where one is enough to turn a setting
// on, it is known if that one is.
func unknownSettings(all, own rpdb.LinkSysctls, known bool) rpdb.Settings {
	if !known {
		own.Unknown = all.Unknown
	}
	open := own.Unknown & (rpdb.SettingForwarding4 | rpdb.SettingIgnoreLinkdown6)
	both := own.Unknown | all.Unknown
	on := func(of func(rpdb.LinkSysctls) bool, bit rpdb.Settings) bool {
		return of(all) && !all.Unknown.Has(bit) || of(own) && !own.Unknown.Has(bit)
	}
	for _, setting := range []struct {
		bit rpdb.Settings
		on  func(rpdb.LinkSysctls) bool
	}{
		{rpdb.SettingRPFilter, func(c rpdb.LinkSysctls) bool { return c.RPFilter == 2 }},
		{rpdb.SettingSrcValidMark, func(c rpdb.LinkSysctls) bool { return c.SrcValidMark }},
		{rpdb.SettingAcceptLocal, func(c rpdb.LinkSysctls) bool { return c.AcceptLocal }},
		{rpdb.SettingRouteLocalnet, func(c rpdb.LinkSysctls) bool { return c.RouteLocalnet }},
		{rpdb.SettingIgnoreLinkdown4, func(c rpdb.LinkSysctls) bool { return c.IgnoreLinkdown4 }},
		{rpdb.SettingSendRedirects, func(c rpdb.LinkSysctls) bool { return !c.NoSendRedirects }},
	} {
		if both.Has(setting.bit) && !on(setting.on, setting.bit) {
			open |= setting.bit
		}
	}
	return open
}

// ignoresLinkdown reports whether the interface ignores routes without carrier
// though its setting is not known: the kernel lists a nexthop that it ignores as
// dead, on an interface that is up.
func (l *link) ignoresLinkdown(n rpdb.Nexthop, v6 bool) bool {
	setting := rpdb.SettingIgnoreLinkdown4
	if v6 {
		setting = rpdb.SettingIgnoreLinkdown6
	}
	const state = rpdb.NexthopDead | rpdb.NexthopLinkdown
	return l.unknown.Has(setting) && n.Flags&state == state && l.IsUp()
}

// unsureOf reports whether it is not known if a nexthop without carrier is
// used: the setting is not, and the nexthop does not carry the state.
func (l *link) unsureOf(n rpdb.Nexthop, v6 bool) bool {
	setting, on := rpdb.SettingIgnoreLinkdown4, l.ignore4
	if v6 {
		setting, on = rpdb.SettingIgnoreLinkdown6, l.ignore6
	}
	return l.unknown.Has(setting) && !on && n.Flags&rpdb.NexthopLinkdown == 0
}

// doubt says why it is not known whether the route is used.
func (r *route) doubt() string {
	if r.blind {
		return noteNexthopObject
	}
	return noteLinkdown
}

// addGaps marks the tables that are missing.
func (rs *ruleset) addGaps(s *rpdb.Snapshot) {
	family, all := rpdb.IPv4, rpdb.PartRoutes4
	if rs.v6 {
		family, all = rpdb.IPv6, rpdb.PartRoutes6
	}
	rs.noRoutes = s.Missing.Has(all)
	rs.gappy = rs.noRoutes
	for _, m := range s.MissingTables {
		if m.Family == family {
			rs.tableFor(m.Table).missing, rs.gappy = true, true
			rs.missing = append(rs.missing, m.Table)
		}
	}
}

// lacks reports whether it is not known what a table holds.
func (rs *ruleset) lacks(t *table) bool {
	if t == nil || t.size == 0 && !t.missing {
		return rs.noRoutes
	}
	return t.missing
}

// lacksLocal4 reports whether it is not known what IPv4's table local holds.
func (f *FIB) lacksLocal4() bool {
	t := f.v4.merged
	if t == nil {
		t = f.v4.tables[rpdb.TableLocal]
	}
	return f.v4.lacks(t)
}

// makeSure makes a decision an unknown one if it depends on something that the
// snapshot does not tell and that no table or setting stands for.
func (f *FIB) makeSure(flow *rpdb.Flow, d *rpdb.Decision) {
	if f.gaps.idle == nil && f.gaps.parts&(rpdb.PartAddresses|rpdb.PartMasters) == 0 {
		return
	}
	if note := f.doubt(flow, d); note != "" {
		*d = doubtful(*d, note)
	}
}

// doubt says what of the snapshot a decision depends on that it does not tell.
func (f *FIB) doubt(flow *rpdb.Flow, d *rpdb.Decision) (note string) {
	if f.gaps.idle != nil && flow.Dst.Is6() {
		var o rpdb.Decision
		f.gaps.idle.route(flow, &o, nil)
		if !same(d, &o) {
			return noteForwards6
		}
	}
	switch {
	case f.gaps.parts&(rpdb.PartAddresses|rpdb.PartMasters) == 0:
	case f.maybeVRF(flow.IIF) || f.maybeVRF(flow.OIF) || f.maybeVRF(d.Link):
		return noteMaybeVRF
	case !f.gaps.parts.Has(rpdb.PartAddresses) || flow.IsInput():
	case flow.Dst.IsMulticast() || flow.Dst.IsUnspecified() || flow.Dst == broadcast4():
		return noteAddresses
	case !unspecified(flow.Src):
	case flow.Dst.Is6() && flow.Socket != rpdb.RouteGet && d.Disposition == rpdb.Refused:
		return noteAddresses
	case flow.Dst.Is4() && flow.Socket == rpdb.Connect && d.Disposition == rpdb.Sent && !d.Src.IsValid():
		return noteSourceMaybe
	}
	return ""
}

func (f *FIB) maybeVRF(name rpdb.LinkName) bool {
	l := f.byName[name]
	return l != nil && l.maybeVRF
}

// same reports whether two decisions are one.
func same(a, b *rpdb.Decision) bool {
	return a.Disposition == b.Disposition && a.Table == b.Table && a.Type == b.Type && a.Prefix == b.Prefix && a.Hop == b.Hop &&
		a.Src == b.Src && a.Errno == b.Errno && a.Rule == b.Rule && slices.Equal(a.Either, b.Either)
}

// checkSettings are the settings that a reverse-path check looks at.
type checkSettings struct {
	rpFilter                       uint8
	markSrc, acceptSelf, redirects bool
	// whole says that the kernel does not take its shortcut past the check, for
	// something in a table that is missing.
	whole bool
}

// checkSettings returns the settings in force, a nil link none.
func (l *link) checkSettings() checkSettings {
	if l == nil {
		return checkSettings{}
	}
	return checkSettings{rpFilter: l.rpFilter, markSrc: l.markSrc, acceptSelf: l.acceptSelf, redirects: l.redirects}
}

// turnsBack reports whether the packet leaves by the interface that it came in by.
func (r *reverse) turnsBack() bool { return r.egress == r.in }

// unknown returns the settings that the check looks at and the snapshot does not
// tell.
func (r *reverse) unknown() rpdb.Settings {
	looksAt := rpdb.SettingRPFilter | rpdb.SettingSrcValidMark | rpdb.SettingAcceptLocal
	if r.turnsBack() {
		looksAt |= rpdb.SettingSendRedirects
	}
	return r.in.unknown & looksAt
}

// forwards reports whether the ingress interface forwards. If that is not
// known it is taken to, and the answer is in doubt.
func (r *reverse) forwards() bool {
	if r.in.unknown.Has(rpdb.SettingForwarding4) {
		r.doubt = noteForwards4
		return true
	}
	return r.in.forward4
}

// pass makes the check for one egress with every value that the settings may
// have. Unless all come to the same, it is not known.
func (r *reverse) pass() (v ReverseVerdict, tag rpdb.Realms, note string) {
	v, tag, note = r.once()
	if r.unknown() == 0 && !r.f.v4.gappy || v == ReverseUnknown || r.always(v, tag) {
		return v, tag, note
	}
	return ReverseUnknown, 0, noteCheckMaybe
}

// always reports whether the check comes to the same with every value that the
// settings may have.
func (r *reverse) always(v ReverseVerdict, tag rpdb.Realms) bool {
	conf, rec := r.conf, r.rec
	r.rec = nil
	defer func() { r.conf, r.rec = conf, rec }()
	for i := range uint8(48) {
		var another bool
		if r.conf, another = r.in.possible(conf, i%24); !another || i >= 24 && !r.f.v4.gappy {
			continue
		}
		r.conf.whole = i >= 24
		if o, with, _ := r.once(); o != v || with != tag {
			rec.doubtReverse()
			return false
		}
	}
	return true
}

// possible returns the i-th of the combinations of the settings, of which there
// are 24, with those that are known as they are; another is false where a
// combination before was the same.
func (l *link) possible(conf checkSettings, i uint8) (_ checkSettings, another bool) {
	rpFilter, markSrc, acceptSelf, redirects := i%3, i/3%2 != 0, i/6%2 != 0, i/12%2 != 0
	another = true
	if l.unknown.Has(rpdb.SettingRPFilter) {
		conf.rpFilter = max(conf.rpFilter, rpFilter)
	} else if rpFilter != 0 {
		another = false
	}
	for _, s := range []struct {
		setting  rpdb.Settings
		value    *bool
		possible bool
	}{
		{rpdb.SettingSrcValidMark, &conf.markSrc, markSrc},
		{rpdb.SettingAcceptLocal, &conf.acceptSelf, acceptSelf},
		{rpdb.SettingSendRedirects, &conf.redirects, redirects},
	} {
		if l.unknown.Has(s.setting) {
			*s.value = s.possible
		} else if s.possible {
			another = false
		}
	}
	return conf, another
}

package kernel

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"rpdb"
)

// savedIndex finds saved routes by what they mean. Its unit is what the kernel
// adds and deletes alone: a route, or in IPv6 one member of a multipath route,
// which may join members that are there.
type savedIndex struct {
	saved *SavedRoutes
	seed  maphash.Seed
	units []savedUnit // by hash
	first []uint32    // number of the first unit of each message
	read  RouteDecoder
}

// savedUnit is one unit. The upper half of the hash is of the key alone.
type savedUnit struct {
	hash         uint64
	message, hop uint32
}

func newSavedIndex(saved *SavedRoutes) *savedIndex {
	x := &savedIndex{
		saved: saved, seed: maphash.MakeSeed(),
		units: make([]savedUnit, 0, saved.Len()), first: make([]uint32, 0, saved.Len()+1),
	}
	for i := range saved.Len() {
		r, _ := saved.route(i)
		x.first = append(x.first, uint32(len(x.units)))
		for hop := range unitsOf(r) {
			x.units = append(x.units, savedUnit{x.hash(r, hop), uint32(i), uint32(hop)})
		}
	}
	x.first = append(x.first, uint32(len(x.units)))
	slices.SortFunc(x.units, func(a, b savedUnit) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.message, b.message))
	})
	return x
}

// unitsOf returns how many units a route has.
func unitsOf(r rpdb.Route) int {
	if r.Family == rpdb.IPv6 && r.NexthopID == 0 {
		return max(len(r.Nexthops), 1)
	}
	return 1
}

// unit returns the route with one of its units only.
func unit(r rpdb.Route, hop int) rpdb.Route {
	if unitsOf(r) > 1 {
		r.Nexthops = r.Nexthops[hop : hop+1]
	}
	return r
}

// hash is the same for routes that mean the same ([sameRoute]).
func (x *savedIndex) hash(r rpdb.Route, hop int) uint64 {
	r = unit(r, hop)
	var key [48]byte
	b := append(key[:0], byte(r.Family), r.TOS, byte(r.Dst.Bits()), byte(max(r.Src.Bits(), 0)))
	table, metric := r.Table, r.Metric
	if table == rpdb.TableUnspec {
		table = rpdb.TableMain
	}
	if r.Family == rpdb.IPv6 && metric == 0 && r.Protocol != rpdb.ProtocolKernel {
		metric = defaultMetric6
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(table))
	b = binary.NativeEndian.AppendUint32(b, metric)
	dst, src := r.Dst.Masked().Addr().As16(), [16]byte{}
	if r.Src.Bits() > 0 {
		src = r.Src.Masked().Addr().As16()
	}
	b = append(append(b, dst[:]...), src[:]...)
	of := maphash.Bytes(x.seed, b)
	return of&^(1<<32-1) | x.hashHops(r)&(1<<32-1)
}

// hashHops is of the gateways. Their interfaces may be left to the kernel.
func (x *savedIndex) hashHops(r rpdb.Route) (sum uint64) {
	switch {
	case r.NexthopID != 0:
		return uint64(r.NexthopID)
	case r.Type.IsError(), r.Type == rpdb.RouteThrow:
		return 0
	}
	for _, h := range r.Nexthops {
		if h.Via.IsValid() {
			via := h.Via.As16()
			sum += maphash.Bytes(x.seed, via[:])
		}
	}
	return sum
}

// unitMatch says that a unit may be what a route of the kernel came from.
type unitMatch struct {
	unit, message uint32
	hop           int // of the route of the kernel
	// exact is set if both mean the same. Otherwise the kernel's lacks something
	// that the unit has, as if it had been dropped.
	exact bool
}

// each gives the units that match a route of the kernel.
func (x *savedIndex) each(m RouteMessage, match func(unitMatch)) {
	for hop := range unitsOf(m.Route) {
		hash := x.hash(m.Route, hop)
		i, _ := slices.BinarySearchFunc(x.units, hash, func(u savedUnit, h uint64) int { return cmp.Compare(u.hash, h) })
		for ; i < len(x.units) && x.units[i].hash == hash; i++ {
			u := x.units[i]
			if exact, ok := x.same(u, m, hop); ok {
				match(unitMatch{x.first[u.message] + u.hop, u.message, hop, exact})
			}
		}
	}
}

// same compares a unit with one of a route of the kernel. As a rule it is the
// very message.
func (x *savedIndex) same(u savedUnit, m RouteMessage, hop int) (exact, ok bool) {
	payload := x.saved.payload(int(u.message))
	if bytes.Equal(payload, m.Payload) && int(u.hop) == hop {
		return true, true
	}
	r, _, err := x.read.Decode(payload)
	if err != nil {
		return false, false
	}
	meant, stored, member := unit(r, int(u.hop)), unit(m.Route, hop), unitsOf(m.Route) > 1
	exact = sameUnit(meant, stored, member)
	return exact, exact || sameUnit(reduced(meant, stored), stored, member)
}

// reduced returns what was meant without what is lacking in what was stored. A
// route of a nexthop object that is given no metrics may come by those of
// another ([rank]).
func reduced(meant, stored rpdb.Route) rpdb.Route {
	if stored.Unknown == "" {
		meant.Unknown = ""
	}
	if len(stored.Metrics) == 0 || stored.NexthopID != 0 {
		meant.Metrics = stored.Metrics
	}
	if !stored.PrefSrc.IsValid() {
		meant.PrefSrc = stored.PrefSrc
	}
	if stored.Realms == 0 {
		meant.Realms = 0
	}
	if stored.Pref == rpdb.PreferenceMedium {
		meant.Pref = stored.Pref
	}
	return meant
}

// sameUnit is [sameRoute] for units. A route of one nexthop has no place for
// its weight, a member has.
func sameUnit(meant, stored rpdb.Route, member bool) bool {
	if meant.Family == rpdb.IPv6 && len(meant.Nexthops) == 1 && len(stored.Nexthops) == 1 {
		m, s := meant.Nexthops[0].Canonical(), stored.Nexthops[0].Canonical()
		if m.Weight != s.Weight {
			return false
		}
		m.Weight, s.Weight = 1, 1
		meant.Nexthops, stored.Nexthops = []rpdb.Nexthop{m}, []rpdb.Nexthop{s}
		if member { // of a route that tells nothing else of it but of its first
			meant.Protocol, meant.Pref, meant.PrefSrc = stored.Protocol, stored.Pref, stored.PrefSrc
			meant.Metrics, meant.Unknown = stored.Metrics, stored.Unknown
		}
	}
	return sameRoute(meant, stored)
}

// keys gives the units of each key that has several.
func (x *savedIndex) keys(several func([]savedUnit)) {
	for start := 0; start < len(x.units); {
		end := start + 1
		for end < len(x.units) && x.units[end].hash>>32 == x.units[start].hash>>32 {
			end++
		}
		if end-start > 1 {
			several(x.units[start:end])
		}
		start = end
	}
}

// bitset is a set of units.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) add(i uint32)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i uint32) bool { return b[i/64]&(1<<(i%64)) != 0 }

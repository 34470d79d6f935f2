package cost

import (
	"math"

	"rpdb"
)

// Range is a time in nanoseconds, as a pair: what is foretold lies between them on the
// machines that the model was fitted to, and rarely by more than a factor of two
// outside of them on others.
type Range struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func (r Range) plus(o Range) Range { return Range{r.Low + o.Low, r.High + o.High} }

func (r Range) times(n int) Range { return Range{r.Low * float64(n), r.High * float64(n)} }

// model is what a lookup costs in one family. The figures were measured with
// bpf_fib_lookup behind rules that do not match, of five kinds, from 10 to 100,000:
// the kinds hardly differ, the number does, since the list leaves the caches.
type model struct {
	pristine Range // rules that were never changed, so that nobody walks them
	base     Range // rules that were: the kernel's own
	miss     Range // one more table that is asked and has no route
	// few, many and most are a rule among a thousand, ten thousand and a hundred
	// thousand; the last is cheaper where the list lies in one piece.
	few, many, most Range
}

func modelOf(f rpdb.Family) model {
	if f == rpdb.IPv4 {
		return model{
			pristine: Range{90, 110}, base: Range{90, 190}, miss: Range{10, 20},
			few: Range{4, 13}, many: Range{13, 24}, most: Range{7, 26},
		}
	}
	return model{
		pristine: Range{200, 320}, base: Range{215, 320}, miss: Range{40, 65},
		few: Range{3, 14}, many: Range{20, 33}, most: Range{9, 33},
	}
}

// dissection is what it costs a forwarded packet that the kernel has to look for ports
// in it.
func dissection() Range { return Range{200, 260} }

// each returns what one rule costs among n.
func (m model) each(n int) Range {
	const thousand, tenThousand, hundredThousand = 3, 4, 5 // powers of ten
	switch at := math.Log10(float64(max(n, 1))); {
	case at <= thousand:
		return m.few
	case at <= tenThousand:
		return between(m.few, m.many, at-thousand)
	case at <= hundredThousand:
		return between(m.many, m.most, at-tenThousand)
	}
	return m.most
}

// between returns the range on the way from a to b.
func between(a, b Range, way float64) Range {
	return Range{a.Low + (b.Low-a.Low)*way, a.High + (b.High-a.High)*way}
}

// Rules returns what a number of rules that do not match cost one lookup in a family,
// without what a lookup costs anyhow.
func Rules(f rpdb.Family, n int) Range { return modelOf(f).each(n).times(n) }

// Lookup returns what one lookup in a family costs that asks so many rules and tables,
// local and main among both.
func Lookup(f rpdb.Family, rules, tables int) Range {
	const own = 2 // local and main, which the base has in it
	m := modelOf(f)
	return m.base.plus(Rules(f, max(rules-own, 0))).plus(m.miss.times(max(tables-own, 0)))
}

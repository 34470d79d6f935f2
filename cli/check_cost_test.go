package cli

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/analysis/cost"
)

func TestNanoseconds(t *testing.T) {
	for _, c := range []struct {
		r    cost.Range
		want string
	}{
		{cost.Range{Low: 90, High: 190}, "90 to 190 ns"},
		{cost.Range{Low: 970, High: 1300}, "970 ns to 1.3 us"},
		{cost.Range{Low: 4100, High: 13_200}, "4.1 to 13 us"},
		{cost.Range{Low: 999.6, High: 999_600}, "1.0 us to 1.0 ms"},
		{cost.Range{Low: 2e9, High: 3e12}, "2.0 to 3000 s"},
	} {
		if got := nanoseconds(c.r); got != c.want {
			t.Errorf("%v: %q, want %q", c.r, got, c.want)
		}
	}
}

// TestMeasuredSaysWhatItCan: a difference that noise can make is none.
func TestMeasuredSaysWhatItCan(t *testing.T) {
	m := measuredCost{Dst: outsideOf(rpdb.IPv4), Rules: 1000, Here: 14_000, Fresh: 3000, More: 11_000, Noise: 500, Foretold: cost.Range{Low: 4000, High: 13_000}}
	if got := m.text(); !strings.HasSuffix(got, "most of it the exchange: 11 us more; 4.0 to 13 us were foretold for the rules") {
		t.Error(got)
	}
	m.Noise = 11_000
	if got := m.text(); !strings.HasSuffix(got, "differences below 11 us cannot be told from noise") {
		t.Error(got)
	}
}

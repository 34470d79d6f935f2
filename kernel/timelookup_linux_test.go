package kernel

import (
	"net/netip"
	"testing"

	"rpdb"
)

// TestTimeRouteGet: the decision is that of RouteGet, the time is some, and nothing is
// changed. How long it takes is nobody's promise.
func TestTimeRouteGet(t *testing.T) {
	_, c := uplinks(t)
	before := snapshot(t, c)
	for _, dst := range []string{"203.0.113.1", "127.0.0.1", "2001:db8:ffff::1", "::1"} {
		f := rpdb.Flow{Dst: netip.MustParseAddr(dst)}
		took, got, err := c.TimeRouteGet(t.Context(), f, 250)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.RouteGet(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if took <= 0 || !got.Agrees(want) || got.Disposition != want.Disposition {
			t.Errorf("%s: %v, %+v, want %+v", dst, took, got, want)
		}
	}
	if took, _, err := c.TimeRouteGet(t.Context(), rpdb.Flow{}, 0); took != 0 || err != nil {
		t.Errorf("none: %v, %v", took, err)
	}
	if _, _, err := c.TimeRouteGet(t.Context(), rpdb.Flow{}, 1); err == nil {
		t.Error("a flow without a destination is asked about")
	}
	after := snapshot(t, c)
	if len(after.Rules) != len(before.Rules) || len(after.Routes) != len(before.Routes) || len(after.Links) != len(before.Links) {
		t.Error("something changed")
	}
}

package kernel

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// TestEachRouteIsOfTheSnapshot: the same routes as a snapshot has, of all
// tables and of one.
func TestEachRouteIsOfTheSnapshot(t *testing.T) {
	_, c := uplinks(t)
	for _, r := range []rpdb.Route{
		{Family: rpdb.IPv4, Table: 300, Dst: prefix("198.51.100.0/24"), Type: rpdb.RouteBlackhole},
		{Family: rpdb.IPv4, Table: 300, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteBlackhole},
		{Family: rpdb.IPv6, Table: 7, Dst: prefix("2001:db8:7::/48"), Type: rpdb.RouteBlackhole},
	} {
		must(t, c.Do(t.Context(), rpdb.RouteChange(rpdb.Add, r)))
	}
	s := snapshot(t, c)
	for _, f := range rpdb.Families() {
		for _, table := range []rpdb.TableID{0, 7, 254, 300, 4711} {
			want := slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
				return r.Family != f || table != 0 && r.Table != table
			})
			var got []string
			_, err := c.EachRoute(t.Context(), f, table, func(r rpdb.Route) error {
				got = append(got, r.String())
				return nil
			})
			if err != nil || !slices.EqualFunc(got, want, func(g string, w rpdb.Route) bool { return g == w.String() }) {
				t.Errorf("%v table %d: %q, %v; want %v", f, table, got, err, want)
			}
		}
	}
}

// TestEachRouteEndsWithAnError of the one who looks, whatever it is.
func TestEachRouteEndsWithAnError(t *testing.T) {
	_, c := uplinks(t)
	for _, stop := range []error{errors.New("enough"), unix.ENOENT} {
		calls := 0
		_, err := c.EachRoute(t.Context(), rpdb.IPv4, 254, func(rpdb.Route) error { calls++; return stop })
		if err != stop || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
	}
	if _, err := c.EachRoute(t.Context(), rpdb.IPv4, 254, func(rpdb.Route) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

package kernel

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

func TestNexthopObjectsAreRead(t *testing.T) {
	ns, c := uplinks(t)
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	want := nexthopObjects(eth0, eth1)
	resilient := rpdb.NexthopObject{
		ID: 11, Group: []rpdb.GroupMember{{ID: 1, Weight: 1}, {ID: 5, Weight: 2}}, GroupType: 1,
		Resilient: rpdb.ResilientGroup{Buckets: 32, IdleTimer: 12000, UnbalancedTimer: 500},
	}
	for _, n := range want {
		must(t, c.AddNexthop(n))
	}
	switch err := c.AddNexthop(resilient); {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		t.Log("the kernel has no resilient groups (before 5.13)")
	default:
		must(t, err)
		want = append(want, resilient)
	}
	got, err := c.Nexthops(t.Context())
	must(t, err)
	if !slices.EqualFunc(got, want, sameObject) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	s := openSocket(t, ns)
	for _, n := range want {
		got, err := s.Nexthop(t.Context(), n.ID)
		must(t, err)
		if !sameObject(got, n) {
			t.Errorf("\n got %+v\nwant %+v", got, n)
		}
	}
	var refused *Refusal
	if _, err := s.Nexthop(t.Context(), 4711); !errors.As(err, &refused) || refused.Errno != syscall.ENOENT {
		t.Errorf("no such object: %v", err)
	}
}

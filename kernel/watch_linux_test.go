package kernel

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

func next(t *testing.T, w *Watcher) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ev, err := w.Next(ctx)
	must(t, err)
	return ev
}

// until returns the first event that fits; others may come in between.
func until(t *testing.T, w *Watcher, fits func(Event) bool) Event {
	t.Helper()
	for {
		if ev := next(t, w); fits(ev) {
			return ev
		}
	}
}

func TestWatchTellsEveryClass(t *testing.T) {
	ns, c := uplinks(t)
	w, err := c.Watch(t.Context())
	must(t, err)
	defer w.Close()
	eth0 := index(t, c, "eth0")
	for _, f := range rpdb.Families() {
		r := rpdb.Rule{Family: f, Priority: 7, Action: rpdb.ToTable(70), Protocol: rpdb.ProtocolRPDB}
		must(t, do(c, addRule(r)))
		must(t, do(c, deleteRule(r)))
		for _, deleted := range []bool{false, true} {
			want := Event{Type: EventRule, Deleted: deleted, Own: true, Rule: r}
			if got := until(t, w, func(ev Event) bool { return ev.Type == EventRule }); got.Rule != want.Rule || got.Own != want.Own || got.Deleted != want.Deleted {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
	r := rpdb.Route{
		Family: rpdb.IPv6, Table: 70, Dst: prefix("2001:db8:a::/48"), Type: rpdb.RouteUnicast,
		Nexthops: []rpdb.Nexthop{{Via: addr("2001:db8::9"), Link: eth0}},
	}
	must(t, do(c, addRoute(r)))
	if got := until(t, w, func(ev Event) bool { return ev.Type == EventRoute && ev.Route.Table == 70 }); !sameRoute(r, got.Route) || !got.Own {
		t.Errorf("got %+v", got)
	}
	must(t, c.AddNexthop(rpdb.NexthopObject{ID: 9, Family: rpdb.IPv4, Blackhole: true}))
	until(t, w, func(ev Event) bool { return ev.Type == EventNexthop && ev.Nexthop.ID == 9 && !ev.Deleted })
	must(t, c.DeleteNexthop(9))
	until(t, w, func(ev Event) bool { return ev.Type == EventNexthop && ev.Nexthop.ID == 9 && ev.Deleted })

	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	must(t, other.AddAddress("eth0", prefix("203.0.113.1/32"), AddressOptions{}))
	if got := until(t, w, func(ev Event) bool { return ev.Type == EventAddress }); got.Address.Prefix != prefix("203.0.113.1/32") || got.Own {
		t.Errorf("got %+v", got)
	}
	must(t, other.DeleteLink("eth1"))
	until(t, w, func(ev Event) bool { return ev.Type == EventLink && ev.Deleted && ev.Link.Name == "eth1" })
}

// An overflow is told once, then what comes afterwards.
func TestWatchOverflow(t *testing.T) {
	ns, c := namespace(t)
	w, err := c.watch(t.Context(), 8<<10)
	must(t, err)
	defer w.Close()
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	flood := func(p rpdb.Priority) {
		e := encodeRule(unix.RTM_NEWRULE, netlink.Create, rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: rpdb.Nop()})
		must(t, other.nl.Execute(t.Context(), e, nil))
	}
	for range 200 {
		flood(7)
	}
	if ev := next(t, w); ev.Type != EventOverflow {
		t.Errorf("got %+v", ev)
	}
	flood(8)
	if ev := next(t, w); ev.Type != EventRule || ev.Rule.Priority != 8 || ev.Deleted {
		t.Errorf("got %+v", ev)
	}
}

// What happens after an overflow was told is told too, even before the events
// that were queued have been read: until then the kernel drops new ones
// without a further word.
func TestWatchTellsWhatComesAfterAnOverflow(t *testing.T) {
	ns, c := namespace(t)
	w, err := c.watch(t.Context(), 8<<10)
	must(t, err)
	defer w.Close()
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	for range 3 {
		for range 200 {
			force(t, other, rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})
		}
		until(t, w, func(ev Event) bool { return ev.Type == EventOverflow })
		late := rpdb.Rule{Family: rpdb.IPv4, Priority: 8, Action: rpdb.Nop()}
		must(t, do(other, addRule(late)))
		if ev := next(t, w); ev.Rule != late {
			t.Errorf("got %+v", ev)
		}
		must(t, do(other, deleteRule(late)))
		if ev := next(t, w); ev.Rule != late || !ev.Deleted {
			t.Errorf("got %+v", ev)
		}
	}
}

// A caller's context counts also while another caller waits.
func TestWatchManyCallers(t *testing.T) {
	_, c := namespace(t)
	w, err := c.Watch(t.Context())
	must(t, err)
	first := make(chan error)
	go func() {
		for {
			if _, err := w.Next(context.Background()); err != nil {
				first <- err
				return
			}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	second := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Next(ctx); err != nil {
				second <- err
				return
			}
		}
	}()
	select {
	case err := <-second:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the second caller waits for the first")
	}
	must(t, w.Close())
	if err := <-first; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWatchEnds(t *testing.T) {
	_, c := namespace(t)
	w, err := c.Watch(t.Context())
	must(t, err)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := w.Next(ctx)
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			break
		}
	}
	must(t, do(c, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})))
	if ev := until(t, w, func(ev Event) bool { return ev.Type == EventRule }); ev.Rule.Priority != 7 {
		t.Errorf("an event was lost: %+v", ev)
	}
	must(t, w.Close())
	if _, err := w.Next(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestEventsThatCannotBeRead(t *testing.T) {
	for _, m := range []netlink.Message{
		{Type: unix.RTM_NEWRULE, Data: []byte{2, 0, 0}},
		{Type: unix.RTM_NEWROUTE, Data: append([]byte{2}, make([]byte, 12)...)},
		{Type: rtmNewNexthop, Data: []byte{2}},
	} {
		if _, ok, err := decodeEvent(m); ok || err == nil {
			t.Errorf("type %d was read", m.Type)
		}
	}
	for _, m := range []netlink.Message{
		{Type: unix.RTM_NEWNEIGH, Data: make([]byte, 12)},
		{Type: unix.RTM_NEWRULE, Data: append([]byte{128}, make([]byte, 11)...)},
	} {
		if _, ok, err := decodeEvent(m); ok || err != nil {
			t.Errorf("type %d: %v, %v", m.Type, ok, err)
		}
	}
}

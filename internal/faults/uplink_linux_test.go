package faults

import (
	"testing"

	"rpdb/kernel"
)

// TestUplinkComesAndGoes in all the ways that an interface can (B3, B4, B5, B7,
// B12). While it is away the policy waits for it; when it is back, repair makes
// the host what it was.
func TestUplinkComesAndGoes(t *testing.T) {
	again := []string{
		"ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up", "ip addr add 192.0.2.10/24 dev eth0",
	}
	for name, c := range map[string]struct {
		away, back []string
		exit       int // of repair while it is away
		drifts     bool
	}{
		"carrier lost": {
			away: []string{"ip link set gw0 down"}, back: []string{"ip link set gw0 up"}, exit: 0,
		},
		"down": {
			away: []string{"ip link set eth0 down"}, back: []string{"ip link set eth0 up"}, exit: 3, drifts: true,
		},
		"renamed": {
			away: []string{"ip link set eth0 down", "ip link set eth0 name other0", "ip link set other0 up"},
			back: []string{"ip link set other0 down", "ip link set other0 name eth0", "ip link set eth0 up"},
			exit: 3, drifts: true,
		},
		"last address removed": {
			away: []string{"ip addr del 192.0.2.10/24 dev eth0"}, back: []string{"ip addr add 192.0.2.10/24 dev eth0"}, exit: 3, drifts: true,
		},
		"deleted, and another under its name": {
			away: []string{"ip link del eth0"}, back: again, exit: 3, drifts: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, foreign()...)
			h.want(t, 0, "apply", "A.yaml")
			before := h.look(t)
			h.script(t, c.away...)
			if out, exit := h.run(t, "status"); (exit == 0) == c.drifts {
				t.Errorf("away: status ends with %d: %s", exit, out)
			}
			t.Logf("%s", h.want(t, c.exit, "repair"))
			h.script(t, c.back...)
			h.want(t, 0, "repair")
			h.want(t, 0, "status")
			if now := h.look(t); now.ours != before.ours || now.torn != "" {
				t.Errorf("of ours there is\n%s\ninstead of\n%s; %s", now.ours, before.ours, now.torn)
			}
		})
	}
}

// TestPeerNamespaceIsDestroyed, and the interface with it (B12).
func TestPeerNamespaceIsDestroyed(t *testing.T) {
	h := newHost(t, foreign()...)
	h.script(t, "ip link del eth0")
	connect := func() *kernel.NetNS {
		peer, err := kernel.NewNetNS()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.AddVeth(kernel.VethEnd{Name: "eth0"}, kernel.VethEnd{Name: "gw0", NetNS: peer}); err != nil {
			t.Fatal(err)
		}
		c, err := kernel.Open(kernel.Options{NetNS: peer})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetLink("gw0", kernel.LinkChange{Up: true}); err != nil {
			t.Fatal(err)
		}
		h.script(t, "ip link set eth0 up", "ip addr add 192.0.2.10/24 dev eth0")
		return peer
	}
	peer := connect()
	h.want(t, 0, "apply", "A.yaml")
	before := h.look(t)
	peer.Close()
	eventually(t, "the interface goes with the namespace", func() bool {
		_, err := h.Snapshot(t.Context())
		return err == nil && !h.has(t, "eth0")
	})
	h.want(t, 3, "repair")
	defer connect().Close()
	h.want(t, 0, "repair")
	h.want(t, 0, "status")
	if now := h.look(t); now.ours != before.ours || now.torn != "" {
		t.Errorf("of ours there is\n%s\ninstead of\n%s; %s", now.ours, before.ours, now.torn)
	}
}

// has reports whether the host has an interface.
func (h *host) has(t *testing.T, name string) bool {
	t.Helper()
	s, err := h.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Links {
		if string(l.Name) == name {
			return true
		}
	}
	return false
}

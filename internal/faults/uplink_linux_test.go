package faults

import (
	"testing"

	"rpdb/kernel"
)

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
		h.script(t, "ip link set eth0 up", "ip addr add 192.0.2.10/24 dev eth0", "ip addr add 2001:db8::10/64 dev eth0 nodad")
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

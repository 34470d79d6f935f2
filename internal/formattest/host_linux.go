package formattest

import (
	"bytes"
	"os/exec"
	"testing"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// Host is a network namespace with the interfaces of
// [rpdb/internal/corpus.DualUplink], up and without addresses.
type Host struct {
	t  testing.TB
	ns *kernel.NetNS
	c  *kernel.Conn
}

// NewHost returns a host, for the life of the test.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{t: t, ns: kerneltest.Namespace(t)}
	c, err := kernel.Open(kernel.Options{NetNS: h.ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	h.c = c
	h.Shell(`
		ip link add eth0 type veth peer name far0
		ip link add eth1 type veth peer name far1
		for name in far0 far1 eth0 eth1; do ip link set $name up; done`)
	return h
}

// Shell runs a script in the namespace and returns what it prints. It must not
// fail.
func (h *Host) Shell(script string) string {
	h.t.Helper()
	var out bytes.Buffer
	err := h.ns.Do(func() error {
		cmd := exec.Command("sh", "-euc", script)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		h.t.Fatalf("%s\n%v\n%s", script, err, &out)
	}
	return out.String()
}

// Start returns a command that runs in the namespace.
func (h *Host) Start(cmd *exec.Cmd) error {
	return h.ns.Do(cmd.Start)
}

// Snapshot returns what the kernel has.
func (h *Host) Snapshot() *rpdb.Snapshot {
	h.t.Helper()
	s, err := h.c.Snapshot(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

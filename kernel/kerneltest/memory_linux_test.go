package kerneltest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

func TestScriptErrors(t *testing.T) {
	ctx, k := context.Background(), kerneltest.NewMemory()
	for line, want := range map[string]string{
		"iptables -L":                          "neither ip nor sysctl",
		"ip":                                   "incomplete command",
		"ip -6 mroute show":                    `unknown object "mroute"`,
		"ip rule show":                         `unknown verb "show"`,
		"ip rule add from x":                   "prefix is expected",
		"ip route get 192.0.2.1":               `unknown verb "get"`,
		"ip route add default dev e9":          `cannot find device "e9"`,
		"ip link add e0 type dummy":            "only veth can be added",
		"ip link set lo sideways":              `unknown word "sideways"`,
		"ip link set lo group x":               `not a number: "x"`,
		"ip addr add 192.0.2.1 dev lo":         "no '/'",
		"ip addr show 192.0.2.1/24":            `unknown verb "show"`,
		"ip neigh replace 192.0.2.1 nud sleep": `unknown state "sleep"`,
		"ip nexthop add id 1 group a":          `not a group member: "a"`,
		"ip nexthop add id 1 dev e9":           `cannot find device "e9"`,
		"sysctl net.ipv4.ip_forward":           "sysctl without a value",
		"sysctl a=1 b=2":                       `unexpected "b=2"`,
		"ip link del 'lo":                      "quotation without end",
	} {
		if err := kerneltest.Script(ctx, k, "# a comment", "", line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestMemorySysctls(t *testing.T) {
	k := kerneltest.NewMemory()
	build(t, k, []string{
		"sysctl net.ipv4.conf.default.rp_filter=2", "ip link add eth0.100 type veth peer name p0",
		"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv4.conf.eth0.100.accept_local=1",
		"sysctl net.ipv4.conf.all.src_valid_mark=1", "sysctl net.ipv4.fib_multipath_hash_seed=0x1234",
		"sysctl net.ipv6.conf.all.forwarding=1", "sysctl net.ipv4.icmp_ratelimit=0",
	})
	s := snapshot(t, k).Sysctls
	want := rpdb.LinkSysctls{Forwarding4: true, Forwarding6: true, RPFilter: 2, AcceptLocal: true}
	if got := s.Links["eth0.100"]; got != want {
		t.Errorf("eth0.100 has %+v, want %+v", got, want)
	}
	if !s.IPv4Forward || !s.IPv6Forward || !s.All.SrcValidMark || s.HashSeed != 0x1234 {
		t.Errorf("settings %+v", s)
	}
	for key, value := range map[string]string{"kernel.pid_max": "1", "net.ipv4.conf.e9.rp_filter": "1", "net.ipv4.conf.x": "1", "net.ipv4.ip_forward": "on"} {
		if err := k.SetSysctl(key, value); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

// What the memory knows and a dump of the real kernel does not show.
func TestMemoryCustomised(t *testing.T) {
	k := kerneltest.NewMemory()
	if s := snapshot(t, k); s.Custom4 != rpdb.CustomisedNo || s.Custom6 != rpdb.CustomisedNo {
		t.Errorf("new: %v %v", s.Custom4, s.Custom6)
	}
	build(t, k, []string{"ip rule add pref 5", "ip rule del pref 5", "ip -6 rule del pref 32766"})
	if s := snapshot(t, k); s.Custom4 != rpdb.CustomisedYes || s.Custom6 != rpdb.CustomisedNo {
		t.Errorf("IPv4 added and deleted, IPv6 deleted only: %v %v", s.Custom4, s.Custom6)
	}
}

// A snapshot shares nothing with the kernel, and a closed watcher wakes up.
func TestMemoryOwnership(t *testing.T) {
	ctx, k := context.Background(), kerneltest.NewMemory()
	build(t, k, []string{"ip link set lo up"})
	s := snapshot(t, k)
	s.Routes[0].Nexthops[0].Link = 99
	s.Rules[0].Priority, s.Links[0].Name, s.Sysctls.Links["lo"] = 99, "x", rpdb.LinkSysctls{RPFilter: 9}
	if a := snapshot(t, k); a.Routes[0].Nexthops[0].Link != 1 || a.Rules[0].Priority != 0 || a.Links[0].Name != "lo" || a.Sysctls.Links["lo"].RPFilter != 0 {
		t.Error("the snapshot shares memory with the kernel")
	}
	w, err := k.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := w.Next(ctx); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next of a closed watcher: %v", err)
		}
	})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	wait.Wait()
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestMemoryRefusalNamesOperationAndObject(t *testing.T) {
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Selector: rpdb.Selector{TOS: 0xe0}, Action: rpdb.ToTable(9)}
	err := kerneltest.NewMemory().Do(context.Background(), rpdb.RuleChange(rpdb.Add, r))
	var op *kernel.OpError
	if !errors.As(err, &op) || err.Error() != "add rule 100 (IPv4): invalid argument: Invalid tos" {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// firstPriority is where the rules of apply, flush and list begin: behind main, where
// no other rule is.
const firstPriority = 40_000

// tenants returns rules such as a host of many tenants has: each source has one of
// sixteen tables.
func tenants(f rpdb.Family, equal bool) func(i int) rpdb.Rule {
	return func(i int) rpdb.Rule {
		r := rpdb.Rule{Family: f, Priority: firstPriority, Action: rpdb.ToTable(rpdb.TableID(100 + i%16))}
		r.Selector.From = host(source(f, uint32(i)))
		if !equal {
			r.Priority += rpdb.Priority(i)
		}
		return r
	}
}

// source returns an address that is no destination in the full table: of 10/8, or of
// fd00::/64 with n in the last word but six bits.
func source(f rpdb.Family, n uint32) netip.Addr {
	if f == rpdb.IPv4 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|n)))
	}
	b := [16]byte{0: 0xfd}
	binary.BigEndian.PutUint32(b[12:], n)
	return netip.AddrFrom16(b)
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// ruleLine is a line of ip -batch that adds a rule of tenants.
func ruleLine(r rpdb.Rule) string {
	return fmt.Sprintf("rule add from %v lookup %d priority %d", r.Selector.From.Addr(), r.Action.Table(), r.Priority)
}

// pourRules builds n rules in the world.
func (w *world) pourRules(n int, rule func(i int) rpdb.Rule) error {
	requests, err := w.ruleRequests(n, rule)
	if err != nil {
		return err
	}
	_, err = w.pourReady(unix.RTM_NEWRULE, requests)
	return err
}

// ruleRequests are those that add n rules, the last first: then each stands where the
// kernel begins to look for its place. Of one priority the later goes behind, so the
// first comes first.
func (w *world) ruleRequests(n int, rule func(i int) rpdb.Rule) (requests [][]byte, err error) {
	equal := n > 1 && rule(0).Priority == rule(n-1).Priority
	requests = make([][]byte, n)
	for i := range requests {
		of := i
		if !equal {
			of = n - 1 - i
		}
		if requests[i], err = kernel.EncodeRule(rule(of)); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// pourReady sends requests that are ready, and returns how long that took.
func (w *world) pourReady(typ uint16, requests [][]byte) (took float64, err error) {
	err = w.Do(func() error {
		start := time.Now()
		err := pour(typ, len(requests), func(i int) ([]byte, error) { return requests[i], nil })
		took = time.Since(start).Seconds()
		return err
	})
	return took, err
}

// pourRoutes builds routes to prefixes in a table, by sixteen gateways on d0.
func (w *world) pourRoutes(table rpdb.TableID, all []netip.Prefix) error {
	d0, err := w.link("d0")
	if err != nil {
		return err
	}
	return w.Do(func() error {
		return pour(unix.RTM_NEWROUTE, len(all), func(i int) ([]byte, error) {
			return kernel.EncodeRoute(route(table, all[i], d0, i))
		})
	})
}

func route(table rpdb.TableID, p netip.Prefix, link rpdb.LinkIndex, i int) rpdb.Route {
	f := rpdb.FamilyOf(p.Addr())
	r := rpdb.Route{
		Family: f, Type: rpdb.RouteUnicast, Table: table, Dst: p, Protocol: rpdb.ProtocolBoot,
		Nexthops: []rpdb.Nexthop{{Link: link, Via: gateway(f, i)}},
	}
	if f == rpdb.IPv6 {
		r.Metric = 1024
	}
	return r
}

// gateway returns one of sixteen gateways behind d0.
func gateway(f rpdb.Family, i int) netip.Addr {
	if f == rpdb.IPv4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%16)})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 15: byte(1 + i%16)})
}

func routeLine(table rpdb.TableID, p netip.Prefix, i int) string {
	return fmt.Sprintf("route add %v via %v dev d0 table %d", p, gateway(rpdb.FamilyOf(p.Addr()), i), table)
}

func (w *world) link(name rpdb.LinkName) (rpdb.LinkIndex, error) {
	s, err := kernel.OpenSocket(kernel.Options{NetNS: w.NetNS})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	i, ok := s.LinkIndex(name)
	if !ok {
		return 0, fmt.Errorf("no interface %s", name)
	}
	return i, nil
}

// familyFlag returns the word of ip for a family: -4, -6.
func familyFlag(f rpdb.Family) string {
	if f == rpdb.IPv4 {
		return "-4"
	}
	return "-6"
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

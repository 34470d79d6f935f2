package kerneltest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// seen is a packet that arrived at the far end of a cable.
type seen struct {
	link  rpdb.LinkName // the near end
	proto rpdb.IPProto
	src   netip.Addr
	dport uint16
	icmp  string // type/code of ICMP
}

// The cases that only packets can judge: they leave by e0, e1 or e2 and arrive
// at p0, p1 or p2.
func TestCasesPackets(t *testing.T) {
	f := loadCases(t)
	sent := 0
	for _, c := range f.Cases {
		if c.Oracle != "forward" && c.Oracle != "socket" {
			continue
		}
		sent++
		t.Run(c.Name, func(t *testing.T) {
			k := kerneltest.Real(t)
			if c.Name == "v6-uidrange-zero-real-forwarded-packet" && !globalRoot(t) {
				c.Expected.Dev = "e0" // user 0 of the rule is not the packet's
			}
			build(t, k, f.Topology, c.Setup)
			ns := k.NetNS()
			taps := openTaps(t, ns)
			got := taps.exchange(t, c, func() error {
				if c.Oracle == "socket" {
					return ns.Do(func() error { return sendLocal(c.flow()) })
				}
				return taps.inject(ns, c.flow())
			})
			if c.Expected.ICMP != "" {
				if got.icmp != c.Expected.ICMP {
					t.Errorf("icmp %s, want %s", got.icmp, c.Expected.ICMP)
				}
				return
			}
			if got.link != c.Expected.Dev || (c.Expected.Src.IsValid() && got.src != c.Expected.Src) {
				t.Errorf("left by %s from %s, want %s from %s", got.link, got.src, c.Expected.Dev, c.Expected.Src)
			}
		})
	}
	if sent != 6 {
		t.Errorf("%d cases with packets, want 6", sent)
	}
}

// globalRoot reports whether user 0 here is user 0 of the machine, whom IPv6
// takes for the owner of every forwarded packet. (IPv4 takes root of the user
// namespace that owns the network namespace.)
func globalRoot(t *testing.T) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(strings.Join(strings.Fields(string(data)), " "), "0 0 ")
}

// taps are packet sockets on the far ends, by the near end.
type taps map[rpdb.LinkName]int

func openTaps(t *testing.T, ns *kernel.NetNS) taps {
	t.Helper()
	all := taps{}
	for i := range 3 {
		var fd int
		err := ns.Do(func() (err error) {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			far, err := net.InterfaceByName(fmt.Sprintf("p%d", i))
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: far.Index}) // ETH_P_ALL
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		all[rpdb.LinkName(fmt.Sprintf("e%d", i))] = fd
	}
	return all
}

// exchange sends until something arrives: a cable carries packets only some
// time after both ends are up.
func (all taps) exchange(t *testing.T, c conformanceCase, send func() error) seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if err := send(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			for link, fd := range all {
				if s, ok := receive(fd); ok && (s.icmp != "" || s.dport == 2000) {
					s.link = link
					return s
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	t.Fatalf("%s: nothing arrived", c.Name)
	return seen{}
}

// receive takes a packet that the host sent, if there is one.
func receive(fd int) (s seen, ok bool) {
	var b [2048]byte
	n, from, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT)
	if err != nil || n < 14 {
		return s, false
	}
	if sll := from.(*unix.SockaddrLinklayer); sll.Pkttype == unix.PACKET_OUTGOING {
		return s, false
	}
	p := b[14:n]
	switch {
	case len(p) >= 28 && p[0] == 0x45:
		s.proto, s.src, p = rpdb.IPProto(p[9]), netip.AddrFrom4([4]byte(p[12:16])), p[20:]
	case len(p) >= 48 && p[0]>>4 == 6:
		s.proto, s.src, p = rpdb.IPProto(p[6]), netip.AddrFrom16([16]byte(p[8:24])), p[40:]
	default:
		return s, false
	}
	switch {
	case s.proto == rpdb.UDP:
		s.dport = binary.BigEndian.Uint16(p[2:])
	case s.proto == rpdb.ICMP:
		s.icmp = rpdb.ICMPError{Type: p[0], Code: p[1]}.String()
	}
	return s, true
}

// sendLocal sends a datagram as the case's socket does.
func sendLocal(f rpdb.Flow) error {
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(f.DPort)})
	if f.Dst.Is4() {
		to.(*unix.SockaddrInet4).Addr = f.Dst.As4()
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(f.DPort), Addr: f.Dst.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if f.OIF != "" {
		if err := unix.BindToDevice(fd, string(f.OIF)); err != nil {
			return err
		}
	}
	if f.Socket == rpdb.Connect {
		if err := unix.Connect(fd, to); err != nil {
			return err
		}
		_, err = unix.Write(fd, []byte("rpdb"))
		return err
	}
	return unix.Sendto(fd, []byte("rpdb"), 0, to)
}

// inject puts a UDP packet of the flow onto the cable of its interface.
func (all taps) inject(ns *kernel.NetNS, f rpdb.Flow) error {
	udp := binary.BigEndian.AppendUint16(nil, f.SPort)
	udp = binary.BigEndian.AppendUint16(udp, f.DPort)
	udp = append(udp, 0, 8, 0, 0) // routers do not look at the checksum
	ip, ethertype := header6, []byte{0x86, 0xdd}
	if f.Dst.Is4() {
		ip, ethertype = header4, []byte{0x08, 0x00}
	}
	var mac net.HardwareAddr
	err := ns.Do(func() error {
		near, err := net.InterfaceByName(string(f.IIF))
		if err == nil {
			mac = near.HardwareAddr
		}
		return err
	})
	if err != nil {
		return err
	}
	frame := append(append([]byte(mac), 2, 0, 0, 0, 0, 0xa2), ethertype...)
	_, err = unix.Write(all[f.IIF], append(append(frame, ip(f, udp)...), udp...))
	return err
}

func header4(f rpdb.Flow, payload []byte) []byte {
	h := []byte{0x45, f.TOS, 0, byte(20 + len(payload)), 0, 1, 0, 0, 64, byte(f.IPProto), 0, 0}
	src, dst := f.Src.As4(), f.Dst.As4()
	h = append(append(h, src[:]...), dst[:]...)
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum>>16+sum))
	return h
}

func header6(f rpdb.Flow, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, 0, byte(len(payload)), byte(f.IPProto), 64}
	src, dst := f.Src.As16(), f.Dst.As16()
	return append(append(h, src[:]...), dst[:]...)
}

package kernel

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// copyRoute is a route of a copy, as a policy has it.
func copyRoute(table rpdb.TableID, hops ...rpdb.Nexthop) rpdb.Route {
	r := rpdb.Route{Family: rpdb.IPv6, Table: table, Dst: prefix("::/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB}
	for _, n := range hops {
		r.Nexthops = append(r.Nexthops, n.WithCopyProgram(table))
	}
	return r
}

// TestCopyProgramOfRoutes: routes of copies are added with their program, told by
// its name from those of other copies and from those without, replaced, deleted and
// restored.
func TestCopyProgramOfRoutes(t *testing.T) {
	if os.Getenv(inUserNS) != "" {
		t.Skip("in a user namespace the kernel takes no programs: see TestCopyProgramWithoutPrivilege")
	}
	_, c := uplinks(t)
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	hop0, hop1 := rpdb.Nexthop{Via: addr("2001:db8::fe"), Link: eth0}, rpdb.Nexthop{Via: addr("2001:db8:1::fe"), Link: eth1}
	single, several, onLink := copyRoute(82999, hop0), copyRoute(82998, hop0, hop1), copyRoute(82997, rpdb.Nexthop{Link: eth1})
	plain := single
	plain.Nexthops = []rpdb.Nexthop{hop0}
	stands := func(r rpdb.Route) bool {
		for _, s := range snapshot(t, c).Routes {
			if s.Equal(r) {
				return true
			}
		}
		return false
	}
	for _, r := range []rpdb.Route{single, several, onLink} {
		must(t, do(c, addRoute(r)))
		if !stands(r) {
			t.Errorf("not as it was meant: %+v", r)
		}
		if err := do(c, addRoute(r)); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("a second one: %v", err)
		}
	}
	must(t, do(c, rpdb.RouteChange(rpdb.Replace, plain)))
	if !stands(plain) || stands(single) {
		t.Error("the program stands after a replacement without it")
	}
	if err := do(c, delRoute(single)); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("deletion of the one with the program: %v", err)
	}
	must(t, do(c, rpdb.RouteChange(rpdb.Replace, single)))
	moved := single.MoveCopy(83999)
	must(t, c.PutRoute(t.Context(), AppendRoute, moved))
	if !stands(single) || !stands(moved) {
		t.Error("routes of both generations do not stand beside each other")
	}
	for _, r := range []rpdb.Route{single, several, onLink, moved} {
		must(t, do(c, delRoute(r)))
		if stands(r) {
			t.Errorf("still there: %+v", r)
		}
	}
	restore(t, c, saved(t, wordsOf(single, several, onLink, moved)...), RoutesRestored{Added: 4})
	if !stands(single) || !stands(several) || !stands(onLink) || !stands(moved) {
		t.Error("restored otherwise")
	}
}

// TestCopyProgramWithoutPrivilege: who may change routes and not load programs is
// told so, and nothing is changed.
func TestCopyProgramWithoutPrivilege(t *testing.T) {
	if os.Getenv(inUserNS) == "" {
		t.Skip("needs a user namespace: run it as an ordinary user")
	}
	_, c := uplinks(t)
	before := len(snapshot(t, c).Routes)
	err := do(c, addRoute(copyRoute(82999, rpdb.Nexthop{Via: addr("2001:db8::fe"), Link: index(t, c, "eth0")})))
	if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "rpdb-nat-82999 takes CAP_BPF") {
		t.Error(err)
	}
	if after := len(snapshot(t, c).Routes); after != before {
		t.Errorf("%d routes, before %d", after, before)
	}
}

// TestCopyProgramRegisters has the byte that C makes of its bit fields in either order.
func TestCopyProgramRegisters(t *testing.T) {
	for order, want := range map[binary.ByteOrder]uint8{binary.LittleEndian: 0x21, binary.BigEndian: 0x12} {
		if got := registers(order, 1, 2); got != want {
			t.Errorf("%v: %#x, want %#x", order, got, want)
		}
	}
}

// TestCopyProgramErrors: what keeps a program from being loaded is said in words.
func TestCopyProgramErrors(t *testing.T) {
	for errno, want := range map[syscall.Errno]syscall.Errno{
		syscall.EPERM: syscall.EPERM, syscall.ENOSYS: syscall.EOPNOTSUPP, syscall.EINVAL: syscall.EOPNOTSUPP, syscall.ENOMEM: syscall.ENOMEM,
	} {
		var program *ProgramError
		err := opError("add", "route", programError(82999, errno))
		if !errors.Is(err, want) || !errors.As(err, &program) || program.Name != "rpdb-nat-82999" || !strings.Contains(err.Error(), "rpdb-nat-82999") {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// TestProgramThatRoutesDoNotTake: a kernel that loads programs and does not know the
// tunnel that runs them says no more than that of the route.
func TestProgramThatRoutesDoNotTake(t *testing.T) {
	refused := &netlink.Error{Errno: syscall.EOPNOTSUPP, Message: "lwt encapsulation type not supported"}
	var program *ProgramError
	err := refusedProgram(copyRoute(82999, rpdb.Nexthop{Link: 2}), refused)
	if !errors.As(err, &program) || program.Name != "rpdb-nat-82999" || !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "LWTUNNEL_BPF") {
		t.Error(err)
	}
	if err := refusedProgram(rpdb.Route{Family: rpdb.IPv6, Nexthops: []rpdb.Nexthop{{Link: 2}}}, refused); err != error(refused) {
		t.Errorf("a route without a program: %v", err)
	}
	other := &netlink.Error{Errno: syscall.EEXIST}
	if err := refusedProgram(copyRoute(82999, rpdb.Nexthop{Link: 2}), other); err != error(other) {
		t.Errorf("another error: %v", err)
	}
}

// TestCopyProgramUnderSignals loads programs while signals come to the thread, as
// those do by which Go's runtime takes turns: the kernel breaks off then.
func TestCopyProgramUnderSignals(t *testing.T) {
	if os.Getenv(inUserNS) != "" {
		t.Skip("in a user namespace the kernel takes no programs: see TestCopyProgramWithoutPrivilege")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	end, ended := make(chan struct{}), make(chan struct{})
	go func(process, thread int) {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				_ = unix.Tgkill(process, thread, unix.SIGURG)
			}
		}
	}(os.Getpid(), unix.Gettid())
	defer func() { close(end); <-ended }()
	for i := range 2000 {
		fd, err := loadCopyProgram(82999)
		if err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
		must(t, unix.Close(fd))
	}
}

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Parts of bpf(2), and of a tunnel with a program, that x/sys does not name.
const (
	bpfProgLoad = 5  // BPF_PROG_LOAD
	bpfLWTOut   = 11 // BPF_PROG_TYPE_LWT_OUT

	bpfPriority = 32 // where struct __sk_buff has it

	lwtOut, lwtFD = 2, 1 // LWT_BPF_OUT, LWT_BPF_PROG_FD
)

// copyPrograms are the programs of copies ([rpdb.CopyProgram]) that a connection
// has loaded. A route keeps its own; only the request that makes it needs the
// descriptor. The zero value has none.
type copyPrograms struct {
	mu  sync.Mutex
	fds map[rpdb.TableID]int
}

func (p *copyPrograms) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, fd := range p.fds {
		errs = append(errs, unix.Close(fd))
	}
	p.fds = nil
	return errors.Join(errs...)
}

// equip returns a route as a request says it: the kernel lists the name of a
// program, and wants the program itself. Other routes are returned as they are.
func (p *copyPrograms) equip(r rpdb.Route) (rpdb.Route, error) {
	has := func(n rpdb.Nexthop) bool { _, ok := n.CopyTable(); return ok }
	if r.Family != rpdb.IPv6 || !slices.ContainsFunc(r.Nexthops, has) {
		return r, nil
	}
	r.Nexthops = slices.Clone(r.Nexthops)
	for i, n := range r.Nexthops {
		t, ok := n.CopyTable()
		if !ok {
			continue
		}
		fd, err := p.of(t)
		if err != nil {
			return r, err
		}
		r.Nexthops[i].Encap = withProgram(n.Encap, fd)
	}
	return r, nil
}

// withProgram adds the descriptor of a program to the attributes of its tunnel.
func withProgram(named rpdb.Raw, fd int) rpdb.Raw {
	inner := netlink.NewDecoder([]byte(named))
	inner.Next()
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Nest(lwtOut|netlink.Nested, func() {
		e.Uint32(lwtFD, uint32(fd))
		e.Raw(inner.Data())
	})
	return rpdb.Raw(e.Payload())
}

func (p *copyPrograms) of(t rpdb.TableID) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd, ok := p.fds[t]; ok {
		return fd, nil
	}
	fd, err := loadCopyProgram(t)
	if err != nil {
		return -1, err
	}
	if p.fds == nil {
		p.fds = map[rpdb.TableID]int{}
	}
	p.fds[t] = fd
	return fd, nil
}

// instruction is a struct bpf_insn.
type instruction struct {
	code, registers uint8
	offset          int16
	value           int32
}

// registers puts the two of an instruction into one byte, which C has as bit fields: the
// first of these is in the upper half where the first byte of a number is the highest.
func registers(order binary.ByteOrder, destination, source uint8) uint8 {
	if order.Uint16([]byte{0, 1}) == 1 {
		return destination<<4 | source
	}
	return source<<4 | destination
}

// copyProgramOf writes the copy's priority into a packet, and lets it go on.
func copyProgramOf(t rpdb.TableID) []instruction {
	value, mask, _ := rpdb.CopyPriority(t)
	return []instruction{
		{code: unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W, registers: registers(binary.NativeEndian, 0, 1), offset: bpfPriority}, // r0 = skb->priority
		{code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, value: int32(^mask)},
		{code: unix.BPF_ALU | unix.BPF_OR | unix.BPF_K, value: int32(value)},
		{code: unix.BPF_STX | unix.BPF_MEM | unix.BPF_W, registers: registers(binary.NativeEndian, 1, 0), offset: bpfPriority}, // skb->priority = r0
		{code: unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K},                                                                     // r0 = BPF_OK
		{code: unix.BPF_JMP | unix.BPF_EXIT},
	}
}

// padding makes a pointer as long as the kernel has it, which is 64 bits everywhere: in
// front of it there would have to be some where 32 bits are big-endian.
type padding [8 - unsafe.Sizeof(uintptr(0))]byte

// loadTries is how often a program is loaded: the kernel's verifier breaks off with
// EAGAIN when a signal comes, and Go's runtime sends itself some.
const loadTries = 1000

// loadCopyProgram loads the program of a copy. That takes privilege in the first
// user namespace, which the root of a container need not have.
func loadCopyProgram(t rpdb.TableID) (int, error) {
	program, license := copyProgramOf(t), []byte("MIT\x00")
	attr := struct {
		kind, count  uint32
		instructions unsafe.Pointer
		_            padding
		license      unsafe.Pointer
		_            padding
		_            [64]byte // no log, no flags, no name
	}{kind: bpfLWTOut, count: uint32(len(program)), instructions: unsafe.Pointer(&program[0]), license: unsafe.Pointer(&license[0])}
	var fd uintptr
	errno := unix.EAGAIN
	for tries := 0; errno == unix.EAGAIN && tries < loadTries; tries++ {
		fd, _, errno = unix.Syscall(unix.SYS_BPF, bpfProgLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	}
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if errno == 0 {
		return int(fd), nil
	}
	return -1, programError(t, errno)
}

// programError says what it means that the program of a copy is not loaded.
func programError(t rpdb.TableID, errno unix.Errno) error {
	name, _ := rpdb.CopyProgram(t)
	switch errno {
	case unix.EACCES:
		errno = unix.EPERM
	case unix.ENOSYS, unix.EINVAL:
		errno = unix.EOPNOTSUPP
	}
	return &ProgramError{Name: name, Err: errno}
}

// ProgramError says that the kernel does not take the program of a copy
// ([rpdb.CopyProgram]). errors.Is tells why: EPERM means that this process may not load
// programs, whatever it may do to routes, and EOPNOTSUPP that the kernel was built
// without what they need.
type ProgramError struct {
	Name string
	Err  error
}

// Error says what the program takes.
func (e *ProgramError) Error() string {
	switch e.Err {
	case unix.EPERM:
		return fmt.Sprintf("%v: to load the program %s takes CAP_BPF and CAP_NET_ADMIN in the first user namespace", e.Err, e.Name)
	case unix.EOPNOTSUPP:
		return fmt.Sprintf("%v: the program %s takes a kernel with the options BPF_SYSCALL and LWTUNNEL_BPF", e.Err, e.Name)
	}
	return fmt.Sprintf("load the program %s: %v", e.Name, e.Err)
}

// Unwrap returns the errno.
func (e *ProgramError) Unwrap() error { return e.Err }

// CopyPrograms returns nil if the kernel takes the programs of copies from this
// process, and a [*ProgramError] if it does not. Whether it runs them on routes shows
// with the first route that has one.
func CopyPrograms() error {
	fd, err := loadCopyProgram(rpdb.FirstHandCopy(rpdb.IPv6))
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// refusedProgram says of a route that the kernel does not know the tunnel of a program,
// if the route has one.
func refusedProgram(r rpdb.Route, err error) error {
	i := slices.IndexFunc(r.Nexthops, func(n rpdb.Nexthop) bool { _, ok := n.CopyTable(); return ok })
	if i < 0 || !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	t, _ := r.Nexthops[i].CopyTable()
	return programError(t, unix.EOPNOTSUPP)
}

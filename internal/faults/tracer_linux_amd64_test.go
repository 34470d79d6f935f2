package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call of a traced program. Two runs of the same program make
// the same calls, though their order may differ between threads.
type call struct {
	// what is the name of the call and what it is about, as in "fsync
	// STATE/journal.tmp".
	what string
	// nth counts the calls with the same what, from 1.
	nth int
}

func (c call) String() string { return fmt.Sprintf("%s (%d)", c.what, c.nth) }

// injury is what is done at a call. The zero injury is none.
type injury struct {
	at call
	// after waits until the call is made. Otherwise it never is.
	after bool
	errno syscall.Errno // what the call returns; 0 kills the program
	// forge, if not nil, changes what the call sends or has brought, instead.
	forge func(tid int, args [6]uint64) error
}

func (i injury) String() string {
	when, what := "before", "killed"
	if i.after {
		when = "after"
	}
	switch {
	case i.forge != nil:
		what = "forged"
	case i.errno != 0:
		what = unix.ErrnoName(i.errno)
	}
	return fmt.Sprintf("%s %s %s", what, when, i.at)
}

// hits reports whether a call is the one to injure; nth 0 is each of them.
func (i injury) hits(c call) bool {
	return c.what == i.at.what && (c.nth == i.at.nth || i.at.nth == 0)
}

// report is what a traced program did.
type report struct {
	calls   []call // all of them, as they began
	reached bool   // the injury was done
	exit    int    // the exit code, -1 if it was killed
}

// tracer runs one program under ptrace, until the program ends. Programs that it
// starts are let go.
type tracer struct {
	injury injury
	// names shorten the paths of calls, from and to in turn.
	names  *strings.Replacer
	root   int // the process
	tasks  map[int]*task
	seen   map[string]int
	report report
}

// task is a thread of the program.
type task struct {
	current call
	noise   bool // the call at hand is none that is looked at
	args    [6]uint64
}

// trace runs a program that has been stopped at its first instruction, as
// syscall.SysProcAttr.Ptrace does, in a process group of its own. It must be
// called on the thread that started it, which must be locked.
func (t *tracer) trace(pid int) (report, error) {
	t.root, t.tasks, t.seen = pid, map[int]*task{pid: {}}, map[string]int{}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return t.report, fmt.Errorf("wait for the program: %w", err)
	}
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return t.report, fmt.Errorf("trace the program: %w", err)
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return t.report, err
	}
	for {
		tid, err := unix.Wait4(-pid, &status, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return t.report, fmt.Errorf("wait for the program: %w", err)
		case tid == pid && (status.Exited() || status.Signaled()):
			t.report.exit = status.ExitStatus()
			return t.report, nil
		case !status.Stopped():
			delete(t.tasks, tid)
		default:
			if err := t.stopped(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
				return t.report, err
			}
		}
	}
}

// stopped lets a thread go on after one of its stops.
func (t *tracer) stopped(tid int, status unix.WaitStatus) error {
	known := t.tasks[tid]
	signal := status.StopSignal()
	switch {
	case known == nil && !t.ours(tid): // a program that it starts
		return unix.PtraceDetach(tid)
	case known == nil: // a new thread, with the stop that attaches it
		t.tasks[tid] = &task{}
		signal = 0
	case signal == unix.SIGTRAP|0x80:
		if err := t.atCall(tid, known); err != nil {
			return err
		}
		signal = 0
	case signal == unix.SIGTRAP: // an event of ptrace itself
		signal = 0
	}
	return unix.PtraceSyscall(tid, int(signal))
}

// ours reports whether a thread is one of the program's.
func (t *tracer) ours(tid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", t.root, tid))
	return err == nil
}

// atCall is the stop before a system call, or the one after it.
func (t *tracer) atCall(tid int, k *task) error {
	info, err := callInfo(tid)
	if err != nil {
		return err
	}
	if info.op == callEntry {
		k.current, k.noise = call{}, true
		what, ok := t.describe(tid, info)
		if !ok {
			return nil
		}
		t.seen[what]++
		k.current, k.noise, k.args = call{what, t.seen[what]}, false, info.args
		t.report.calls = append(t.report.calls, k.current)
	}
	if k.noise || !t.injury.hits(k.current) || (info.op == callEntry) == t.injury.after {
		if info.op == callExit && !k.noise && t.report.reached && t.injury.hits(k.current) && t.injury.errno != 0 {
			return setResult(tid, t.injury.errno) // the call was not made
		}
		return nil
	}
	t.report.reached = true
	switch {
	case t.injury.forge != nil:
		return t.injury.forge(tid, k.args)
	case t.injury.errno == 0:
		return unix.Kill(t.root, unix.SIGKILL)
	case info.op == callEntry:
		return skipCall(tid)
	}
	return setResult(tid, t.injury.errno)
}

// What ptrace tells of a system call.
const (
	callEntry = 1
	callExit  = 2
)

type traced struct {
	op     uint8
	number uint64
	args   [6]uint64
}

func callInfo(tid int) (traced, error) {
	var buf [88]byte
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), uintptr(len(buf)), uintptr(unsafe.Pointer(&buf)), 0, 0)
	if errno != 0 {
		return traced{}, errno
	}
	info := traced{op: buf[0]}
	if info.op == callEntry {
		info.number = binary.NativeEndian.Uint64(buf[24:])
		for i := range info.args {
			info.args[i] = binary.NativeEndian.Uint64(buf[32+8*i:])
		}
	}
	return info, nil
}

// skipCall lets a thread pass a system call without making it.
func skipCall(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(tid, &regs)
}

// setResult makes a system call return an error.
func setResult(tid int, errno syscall.Errno) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = -uint64(errno)
	return unix.PtraceSetRegs(tid, &regs)
}

// kind says what the arguments of a system call are.
type kind int

const (
	nothing kind = iota // of interest
	file                // the first is a descriptor
	path                // the first is a path
	pathAt              // a descriptor and a path
	message             // a descriptor and what is sent
	process             // flags, of which some make a thread
)

// watched are the system calls that do something outside of the program, or ask
// for it. Those that are not here are about its own memory, threads and signals.
func watched(number uint64) (string, kind) {
	switch number {
	case unix.SYS_OPENAT:
		return "openat", pathAt
	case unix.SYS_NEWFSTATAT:
		return "newfstatat", pathAt
	case unix.SYS_STATX:
		return "statx", pathAt
	case unix.SYS_UNLINKAT:
		return "unlinkat", pathAt
	case unix.SYS_MKDIRAT:
		return "mkdirat", pathAt
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return "renameat", pathAt
	case unix.SYS_LINKAT:
		return "linkat", pathAt
	case unix.SYS_READLINKAT:
		return "readlinkat", pathAt
	case unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2:
		return "faccessat", pathAt
	case unix.SYS_OPEN:
		return "open", path
	case unix.SYS_READ:
		return "read", file
	case unix.SYS_PREAD64:
		return "pread64", file
	case unix.SYS_WRITE:
		return "write", message
	case unix.SYS_PWRITE64:
		return "pwrite64", file
	case unix.SYS_CLOSE:
		return "close", file
	case unix.SYS_FSTAT:
		return "fstat", file
	case unix.SYS_FSTATFS:
		return "fstatfs", file
	case unix.SYS_FSYNC:
		return "fsync", file
	case unix.SYS_FDATASYNC:
		return "fdatasync", file
	case unix.SYS_FTRUNCATE:
		return "ftruncate", file
	case unix.SYS_FLOCK:
		return "flock", file
	case unix.SYS_FCNTL:
		return "fcntl", file
	case unix.SYS_IOCTL:
		return "ioctl", file
	case unix.SYS_GETDENTS64:
		return "getdents64", file
	}
	return watchedToo(number)
}

// watchedToo is the rest of watched.
func watchedToo(number uint64) (string, kind) {
	switch number {
	case unix.SYS_SENDTO:
		return "sendto", message
	case unix.SYS_SENDMSG:
		return "sendmsg", file
	case unix.SYS_RECVFROM:
		return "recvfrom", file
	case unix.SYS_RECVMSG:
		return "recvmsg", file
	case unix.SYS_SOCKET:
		return "socket", nothing
	case unix.SYS_SETSOCKOPT:
		return "setsockopt", file
	case unix.SYS_BIND:
		return "bind", file
	case unix.SYS_CONNECT:
		return "connect", file
	case unix.SYS_GETSOCKNAME:
		return "getsockname", file
	case unix.SYS_CLONE, unix.SYS_VFORK:
		return "clone", process
	case unix.SYS_PIPE2:
		return "pipe2", nothing
	case unix.SYS_PIDFD_OPEN:
		return "pidfd_open", nothing
	case unix.SYS_PIDFD_SEND_SIGNAL:
		return "pidfd_send_signal", nothing
	case unix.SYS_KILL:
		return "kill", nothing
	case unix.SYS_WAIT4:
		return "wait4", nothing
	case unix.SYS_WAITID:
		return "waitid", nothing
	case unix.SYS_SETNS:
		return "setns", nothing
	}
	return "", nothing
}

// describe says in words what a call is, and whether it is one that is looked
// at.
func (t *tracer) describe(tid int, info traced) (string, bool) {
	name, kind := watched(info.number)
	if name == "" {
		return "", false
	}
	what := name
	switch kind {
	case file:
		what += " " + t.file(tid, info.args[0])
	case path:
		what += " " + t.short(text(tid, info.args[0]))
	case pathAt:
		what += " " + t.pathAt(tid, info.args[0], info.args[1])
	case message:
		to := t.file(tid, info.args[0])
		what += " " + to
		if to == "socket" {
			what += messageType(tid, info.args[1])
		}
	case process:
		if info.args[0]&unix.CLONE_THREAD != 0 {
			return "", false
		}
	}
	return what, !strings.Contains(what, "anon_inode:[event")
}

// file is what a descriptor is.
func (t *tracer) file(tid int, fd uint64) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	if err != nil {
		return "a descriptor that is none"
	}
	if kind, _, ok := strings.Cut(target, ":["); ok && kind != "anon_inode" {
		return kind
	}
	return t.short(strings.TrimSuffix(target, " (deleted)"))
}

// short is a path without what differs between two runs.
func (t *tracer) short(p string) string {
	if rest, ok := strings.CutPrefix(p, "/proc/"); ok {
		if pid, rest, ok := strings.Cut(rest, "/"); ok {
			if _, err := strconv.Atoi(pid); err == nil {
				return "/proc/PID/" + rest
			}
		}
	}
	return t.names.Replace(p)
}

func (t *tracer) pathAt(tid int, dir, name uint64) string {
	p := text(tid, name)
	switch {
	case filepath.IsAbs(p) || int32(dir) == unix.AT_FDCWD:
		return t.short(p)
	case p == "":
		return t.file(tid, dir)
	}
	return t.file(tid, dir) + "/" + p
}

// messageType is the type of a netlink message.
func messageType(tid int, addr uint64) string {
	head := make([]byte, 6)
	if n, err := peek(tid, addr, head); err != nil || n != len(head) {
		return ""
	}
	return " message " + strconv.Itoa(int(binary.NativeEndian.Uint16(head[4:])))
}

// text reads a path.
func text(tid int, addr uint64) string {
	var all []byte
	for len(all) < unix.PathMax {
		buf := make([]byte, 4096-(addr+uint64(len(all)))%4096) // not beyond the page
		n, err := peek(tid, addr+uint64(len(all)), buf)
		if err != nil || n == 0 {
			return ""
		}
		if s, _, ok := strings.Cut(string(buf[:n]), "\x00"); ok {
			return string(all) + s
		}
		all = append(all, buf[:n]...)
	}
	return ""
}

// peek reads the memory of a thread.
func peek(tid int, addr uint64, buf []byte) (int, error) {
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	return unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}, 0)
}

// poke writes to the memory of a thread.
func poke(tid int, addr uint64, buf []byte) error {
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	_, err := unix.ProcessVMWritev(tid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}, 0)
	return err
}

package differential

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// visit is what the kernel says when a lookup looks at a table (the tracepoints
// fib:fib_table_lookup and fib6:fib6_table_lookup).
type visit struct {
	table rpdb.TableID
	oif   rpdb.LinkIndex // that the lookup is bound to
	dst   netip.Addr
	errno int // 0 for a route, -EAGAIN for none or throw
}

func (v visit) String() string { return fmt.Sprintf("%d for %v: error %d", v.table, v.dst, v.errno) }

// tracer is a tracing instance of its own, which hears one thread at a time.
type tracer struct {
	root, dir, pipe int // descriptors of tracefs, of the instance, of its trace_pipe
	name            string
	buffer          []byte
	ignored         int // events about other addresses
}

// newTracer makes a tracing instance for the life of the test. The file system is
// mounted nowhere: nobody else sees it. Where it cannot be had the test is skipped.
func newTracer(t *testing.T) *tracer {
	t.Helper()
	tr := &tracer{root: -1, dir: -1, pipe: -1, buffer: make([]byte, 64<<10)}
	t.Cleanup(tr.close)
	if err := tr.open(); err != nil {
		t.Skipf("no tracing here: %v", err)
	}
	if !tr.works(t) {
		t.Skip("no tracing here: nothing is heard of lookups")
	}
	return tr
}

// works reports whether the tracer hears lookups, which it does not where threads
// have other numbers than the kernel knows them by.
func (tr *tracer) works(t *testing.T) bool {
	t.Helper()
	k := kerneltest.Real(t)
	heard := 0
	onThread(t, func() error {
		if err := tr.hear(); err != nil {
			return err
		}
		for _, text := range []string{"127.0.0.1", "::1"} {
			a := netip.MustParseAddr(text)
			if _, err := k.RouteGet(t.Context(), rpdb.Flow{Dst: a}); err != nil {
				return err
			}
			list, _, err := tr.visits(a)
			if err != nil {
				return err
			}
			heard += len(list)
		}
		return nil
	})
	return heard >= 2
}

// onThread runs f on a thread that does nothing else.
func onThread(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine
		done <- f()
	}()
	must(t, <-done)
}

func (tr *tracer) open() (err error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open tracefs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("configure tracefs: %w", err)
	}
	if tr.root, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0); err != nil {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	tr.name = fmt.Sprintf("instances/rpdb-test-%d-%x", os.Getpid(), rand.Uint64())
	if err := unix.Mkdirat(tr.root, tr.name, 0o700); err != nil {
		return fmt.Errorf("make a tracing instance: %w", err)
	}
	if tr.dir, err = unix.Openat(tr.root, tr.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the tracing instance: %w", err)
	}
	for _, w := range [][2]string{
		{"buffer_size_kb", "256"},
		{"set_event_pid", strconv.Itoa(os.Getpid())},
		{"events/fib/fib_table_lookup/enable", "1"},
		{"events/fib6/fib6_table_lookup/enable", "1"},
		{"tracing_on", "1"},
	} {
		if err := tr.write(w[0], w[1]); err != nil {
			return err
		}
	}
	tr.pipe, err = unix.Openat(tr.dir, "trace_pipe", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	return err
}

func (tr *tracer) write(file, text string) error {
	fd, err := unix.Openat(tr.dir, file, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("write %q to %s: %w", text, file, err)
	}
	return nil
}

// close takes the instance away.
func (tr *tracer) close() {
	for _, fd := range []int{tr.pipe, tr.dir} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if tr.root >= 0 {
		_ = unix.Unlinkat(tr.root, tr.name, unix.AT_REMOVEDIR)
		unix.Close(tr.root)
	}
}

// hear has the tracer hear the calling thread alone, from now on.
func (tr *tracer) hear() error { return tr.write("set_event_pid", strconv.Itoa(unix.Gettid())) }

// visits returns what has been traced since the last call and is about one of the
// addresses: what comes in by an interrupt while the thread asks looks like its own.
// Lost is set if the kernel dropped events.
func (tr *tracer) visits(about ...netip.Addr) (list []visit, lost bool, err error) {
	var text []byte
	for {
		n, err := unix.Read(tr.pipe, tr.buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN || err == nil && n == 0:
			return tr.parse(text, about)
		case err != nil:
			return nil, false, err
		default:
			text = append(text, tr.buffer[:n]...)
		}
	}
}

func (tr *tracer) parse(text []byte, about []netip.Addr) (list []visit, lost bool, err error) {
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("LOST")) {
			lost = true
			continue
		}
		v, ok, err := parseVisit(string(line))
		if err != nil {
			return nil, false, err
		}
		for _, a := range about {
			if ok && v.dst == a {
				list, ok = append(list, v), false
			}
		}
		if ok {
			tr.ignored++
		}
	}
	return list, lost, nil
}

// parseVisit reads a line of a trace, such as
//
//	differential-71 [001] ..... 99.1: fib_table_lookup: table 255 oif 0 iif 1 proto 17 0.0.0.0/0 -> 192.0.2.9/0 tos 0 scope 0 flags 0 ==> dev - gw 0.0.0.0/:: err -11
//
// Ok is false for other lines.
func parseVisit(line string) (v visit, ok bool, err error) {
	_, rest, ok := strings.Cut(line, "_table_lookup: table ")
	if !ok {
		return v, false, nil
	}
	words := strings.Fields(rest)
	table, err1 := strconv.ParseUint(words[0], 10, 32)
	errno, err2 := strconv.Atoi(words[len(words)-1])
	err = errors.Join(err1, err2)
	for i, w := range words[1:] {
		var failed error
		switch words[i] {
		case "->":
			text, _, _ := strings.Cut(w, "/")
			v.dst, failed = netip.ParseAddr(text)
		case "oif":
			var n uint64
			n, failed = strconv.ParseUint(w, 10, 32)
			v.oif = rpdb.LinkIndex(n)
		}
		err = errors.Join(err, failed)
	}
	v.table, v.errno = rpdb.TableID(table), errno
	if err != nil || !v.dst.IsValid() {
		return v, false, fmt.Errorf("trace line %q: %w", line, err)
	}
	return v, true, nil
}

// The line of the comment above, one of IPv6, and others.
func TestParseVisit(t *testing.T) {
	for line, want := range map[string]visit{
		"x-71 [001] ..... 99.1: fib_table_lookup: table 255 oif 0 iif 1 proto 17 0.0.0.0/0 -> 192.0.2.9/0 tos 0 scope 0 flags 0 ==> dev - gw 0.0.0.0/:: err -11\n":   {255, 0, netip.MustParseAddr("192.0.2.9"), -11},
		"x-71 [001] b..1. 99.1: fib6_table_lookup: table   7 oif 3 iif 1 proto 0 ::/0 -> 2001:db8::9/53 flowlabel 0 tos 0 scope 0 flags 4 ==> dev lo gw :: err -113": {7, 3, netip.MustParseAddr("2001:db8::9"), -113},
	} {
		if got, ok, err := parseVisit(line); got != want || !ok || err != nil {
			t.Errorf("%q: %v, %v, %v", line, got, ok, err)
		}
	}
	if _, ok, err := parseVisit("CPU:1 [LOST 7 EVENTS]\n"); ok || err != nil {
		t.Errorf("read what is none: %v, %v", ok, err)
	}
	if _, ok, err := parseVisit("x: fib_table_lookup: table y -> 192.0.2.9/0 err 0"); ok || err == nil {
		t.Errorf("read what is damaged: %v, %v", ok, err)
	}
	tr := &tracer{}
	list, lost, err := tr.parse([]byte("x: fib_table_lookup: table 1 -> 192.0.2.9/0 err 0\nCPU:1 [LOST 7 EVENTS]\nx: fib_table_lookup: table 2 -> 192.0.2.8/0 err 0\n"), []netip.Addr{netip.MustParseAddr("192.0.2.9")})
	if len(list) != 1 || !lost || err != nil || tr.ignored != 1 {
		t.Errorf("%v, %v, %v, %d ignored", list, lost, err, tr.ignored)
	}
}

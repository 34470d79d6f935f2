package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"rpdb/kernel"
)

const (
	// envChild marks the process that Main has started.
	envChild = "RPDB_KERNELTEST_CHILD"
	// envReason holds why there are no namespaces, for Namespace to say.
	envReason = "RPDB_KERNELTEST_REASON"
	// envNoSkip, set to 1, makes failures of the skips of Namespace.
	envNoSkip = "RPDB_NO_SKIP"
)

// Main runs the tests where [Namespace] can make namespaces, and returns the
// exit code: a package's TestMain is os.Exit(kerneltest.Main(m)). With the
// privilege to make them it runs the tests in this process. Without, it starts
// the test binary once more, as root of a new user namespace with a network
// namespace of its own; the process ends with its parent. Where user
// namespaces are not allowed either, it runs the tests all the same.
func Main(m *testing.M) int {
	err := tryNamespace()
	if err == nil || os.Getenv(envChild) != "" {
		return run(m, err)
	}
	code, startErr := reexec()
	if startErr == nil {
		return code
	}
	return run(m, fmt.Errorf("%w, and %w", err, startErr))
}

// run runs the tests here. Err says why there are no namespaces, nil if there
// are.
func run(m *testing.M, err error) int {
	if err != nil {
		os.Setenv(envReason, err.Error())
	}
	return m.Run()
}

func tryNamespace() error {
	ns, err := kernel.NewNetNS()
	if err != nil {
		return err
	}
	return ns.Close()
}

// reexec runs this test binary in namespaces of its own and returns its exit
// code; the error says that it could not be started.
func reexec() (int, error) {
	runtime.LockOSThread() // the parent-death signal is sent when the thread ends
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), envChild+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start in a user namespace: %w", err)
	}
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	case err != nil:
		fmt.Fprintf(os.Stderr, "kerneltest: tests in a user namespace: %v\n", err)
		return 1, nil
	}
	return 0, nil
}

// Namespace returns a fresh network namespace with the loopback interface up.
// It is closed when the test ends. Where none can be made the test is skipped
// with the reason, or fails if the environment has RPDB_NO_SKIP=1. The
// package's TestMain must call [Main].
func Namespace(t testing.TB) *kernel.NetNS {
	t.Helper()
	if reason := os.Getenv(envReason); reason != "" {
		skip(t, reason)
	}
	ns, err := kernel.NewNetNS()
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC):
		skip(t, err.Error())
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	c, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetLink("lo", kernel.LinkChange{Up: true}); err != nil {
		t.Fatal(err)
	}
	return ns
}

func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(envNoSkip) == "1" {
		t.Fatalf("no network namespace, and %s=1: %s", envNoSkip, reason)
	}
	t.Skip("no network namespace: " + reason)
}

// NeedUID skips the test where a user id does not exist, as is the case for
// all but 0 in the user namespace that [Main] makes: the kernel refuses rules
// about such ids.
func NeedUID(t testing.TB, uid uint32) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			t.Fatalf("read /proc/self/uid_map: %v", err)
		}
		if inside <= uint64(uid) && uint64(uid) < inside+count {
			return
		}
	}
	t.Skipf("user id %d is not mapped into this user namespace", uid)
}

// NeedPrograms skips the test in a user namespace, such as [Main] makes: the kernel
// takes the programs of routes ([rpdb.CopyProgram]) from the first one only.
func NeedPrograms(t testing.TB) {
	t.Helper()
	if !FirstUserNamespace() {
		t.Skip("the kernel takes programs from the first user namespace only")
	}
}

// FirstUserNamespace reports whether this process is in the first user namespace,
// where every user id is mapped to itself.
func FirstUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	var from, to, size uint32
	n, scanErr := fmt.Sscan(string(data), &from, &to, &size)
	return err == nil && scanErr == nil && n == 3 && from == 0 && to == 0 && size == 1<<32-1
}

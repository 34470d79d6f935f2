package netlink

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetNS runs f on an operating system thread that is in the network
// namespace of the descriptor ns, and returns its error. If the thread cannot
// be put back, it is thrown away. Without need, when the thread is in that
// namespace already, nothing is switched, so that this works without
// privilege; otherwise it needs CAP_SYS_ADMIN. f must not wait for other
// goroutines that rely on the namespace, and goroutines that it starts are not
// in it.
func InNetNS(ns int, f func() error) error {
	return onThread(func(own int) (bool, error) {
		if same, err := sameFile(own, ns); same || err != nil {
			return false, err
		}
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return false, fmt.Errorf("enter network namespace: %w", err)
		}
		return true, nil
	}, f)
}

// InNewNetNS is [InNetNS] with a new network namespace, which ends with f
// unless f opens it. It needs CAP_SYS_ADMIN.
func InNewNetNS(f func() error) error {
	return onThread(func(int) (bool, error) {
		err := unix.Unshare(unix.CLONE_NEWNET)
		return err == nil, err
	}, f)
}

// onThread runs f on a goroutine that it may lose, on a thread that enter has
// switched. A panic of f, or its end by runtime.Goexit, becomes a panic here.
func onThread(enter func(own int) (switched bool, err error), f func() error) error {
	result := make(chan func() error, 1)
	go func() {
		done := func() error { panic("netlink: goroutine ended in a network namespace") }
		defer func() {
			if r := recover(); r != nil {
				done = func() error { panic(r) }
			}
			result <- done
		}()
		err := switchAndRun(enter, f)
		done = func() error { return err }
	}()
	return (<-result)()
}

func switchAndRun(enter func(own int) (switched bool, err error), f func() error) error {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open network namespace of thread: %w", err)
	}
	defer unix.Close(own)
	switched, err := enter(own)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A goroutine that ends locked takes its thread with it.
		if !switched || unix.Setns(own, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

func sameFile(a, b int) (bool, error) {
	var sa, sb unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &sa), unix.Fstat(b, &sb)); err != nil {
		return false, err
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, nil
}

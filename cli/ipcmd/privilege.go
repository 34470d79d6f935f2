package ipcmd

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropCapabilities gives up the capabilities that the file of this program has,
// if an ordinary user runs it: whoever may run ip may not for that reason change
// the network. As with ip, they stay where CAP_NET_ADMIN is inheritable, which
// is how a service gets it on purpose (capabilities(7), ambient).
//
// Threads have capabilities of their own, and not every build of a program can
// reach all of its threads. So one gives them up, and starts the program again
// in a way that its file gives it no new ones.
func dropCapabilities() error {
	if unix.Getuid() == 0 || unix.Geteuid() == 0 {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if data[0].Permitted|data[1].Permitted == 0 || data[0].Inheritable&(1<<unix.CAP_NET_ADMIN) != 0 {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || set != 0 {
		return errors.Join(errors.New("the capabilities of the program's file are still there"), err)
	}
	clear(data[:])
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Capset(&header, &data[0])
	}
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return fmt.Errorf("start without capabilities: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

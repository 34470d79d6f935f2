package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRefused is what errors of [Enter] match (errors.Is) when the kernel does
// not let this process have namespaces of its own.
var ErrRefused = errors.New("needs root, or a kernel that allows unprivileged user namespaces")

// EnterOptions say how to enter. The zero value is the usual way.
type EnterOptions struct {
	// UID is the user id, inside, of an ordinary user, who needs a user
	// namespace and can have exactly one id in it. The zero value is root;
	// another one is for policies with a uidrange, since the kernel refuses
	// rules on user ids that its user namespace does not know. The capabilities
	// are the same with any. It does not matter where no user namespace is
	// needed: there every id exists.
	UID uint32
}

// enterVariable marks the child's environment. Its value names the parent
// process and the network namespace that must have been left.
const enterVariable = "RPDB_SANDBOX"

// forwardDelay is how long the child has to end by itself after an interrupt
// that the terminal sent to both processes, before it is sent another.
const forwardDelay = 100 * time.Millisecond

// Enter runs this program again, with the same arguments and standard streams,
// in a new network namespace, which is the host to rehearse on, and waits for
// it. A process without the capabilities for that gets a new user namespace
// first (user_namespaces(7)).
//
// In the child Enter returns at once with inside true. In the parent it
// returns when the child has ended, with the exit code to pass on: the child's
// own, or 128 and the number of the signal that ended it. SIGINT, SIGTERM,
// SIGHUP and SIGQUIT are passed to the child; when the parent ends, even by
// SIGKILL, the kernel kills the child. An error means that no child ran; it
// matches [ErrRefused] if the kernel does not allow it.
//
// A context that is cancelled, as by a signal that came before Enter listened, keeps
// the child from being started, or interrupts it.
//
// Call it before the program has done anything that should not happen twice.
// It is not safe for concurrent use, as it reads and changes the environment.
func Enter(ctx context.Context, opt EnterOptions) (inside bool, exitCode int, err error) {
	if marker, ok := os.LookupEnv(enterVariable); ok {
		if err := arrive(marker); err != nil {
			return false, 0, fmt.Errorf("enter sandbox: %w", err)
		}
		return true, 0, nil
	}
	cmd, err := command(opt)
	if err != nil {
		return false, 0, fmt.Errorf("enter sandbox: %w", err)
	}
	// The parent-death signal follows the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return false, 0, fmt.Errorf("enter sandbox: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return false, 0, fmt.Errorf("enter sandbox: %w", startError(err))
	}
	code, err := wait(ctx, cmd, signals)
	return false, code, err
}

// command returns the child to start.
func command(opt EnterOptions) (*exec.Cmd, error) {
	namespace, err := namespaceID()
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if !privileged() {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(opt.UID), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		if opt.UID != 0 { // execve takes the capabilities of all but root, unless they are ambient
			attr.AmbientCaps = needed()
		}
	}
	return &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        os.Args,
		Env:         append(os.Environ(), fmt.Sprintf("%s=%d %s", enterVariable, os.Getpid(), namespace)),
		Stdin:       os.Stdin,
		Stdout:      os.Stdout,
		Stderr:      os.Stderr,
		SysProcAttr: attr,
	}, nil
}

// wait passes signals on until the child has ended. A signal that cancels the context
// most often comes by both ways, and is passed on once.
func wait(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		cancelled := ctx.Done()
		for told := false; ; {
			select {
			case s := <-signals:
				if !told {
					forward(cmd.Process, s)
				}
				cancelled, told = nil, false
			case <-cancelled:
				forward(cmd.Process, unix.SIGINT)
				cancelled, told = nil, true
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("enter sandbox: wait for process %d: %w", cmd.Process.Pid, err)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// forward sends the signal to the child, which is no error if it has ended. A
// terminal sends SIGINT to both processes; waiting a little keeps the child
// from being interrupted twice while it ends.
func forward(child *os.Process, s os.Signal) {
	if s == unix.SIGINT {
		time.AfterFunc(forwardDelay, func() { _ = child.Signal(s) })
		return
	}
	_ = child.Signal(s)
}

// startError says what is missing where the kernel refuses the namespaces:
// EPERM by a setting or a seccomp filter, ENOSPC by user.max_*_namespaces,
// EINVAL by a kernel without them.
func startError(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EINVAL, unix.ENOSYS, unix.EUSERS:
		return fmt.Errorf("new namespaces: %w: %w", errno, ErrRefused)
	}
	return err
}

// arrive checks in the child that it is where the marker says: the child of
// the process that set it, and in another network namespace. A stray variable
// in the environment must not lead a rehearsal onto a real host.
func arrive(marker string) error {
	if err := os.Unsetenv(enterVariable); err != nil {
		return err
	}
	now, err := namespaceID()
	if err != nil {
		return err
	}
	parent, before, _ := strings.Cut(marker, " ")
	if parent != fmt.Sprint(os.Getppid()) || before == "" || before == now {
		return fmt.Errorf("environment variable %s=%q: not set by the parent process", enterVariable, marker)
	}
	// Some systems give a user namespace and then deny its capabilities.
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("set up the loopback interface: %w: %w", err, ErrRefused)
	}
	return nil
}

// namespaceID identifies the calling thread's network namespace.
func namespaceID() (string, error) {
	const path = "/proc/thread-self/ns/net"
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

// loopbackUp sets the loopback interface up.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// needed lists the capabilities that a rehearsal uses: namespaces, interfaces
// and rules, raw sockets, low ports, and sockets of other users.
func needed() []uintptr {
	return []uintptr{
		unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE, unix.CAP_SETUID,
	}
}

// privileged reports whether the process has all that is needed, so that it
// can do without a user namespace.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	for _, c := range needed() {
		if data[c/32].Effective&(1<<(c%32)) == 0 {
			return false
		}
	}
	return true
}

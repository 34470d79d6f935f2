package guard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Timer is a transient timer of systemd that starts this program once more, in a
// service of its own: a guard that does not end with the session, the service or
// the processes of whoever started it. Systemd is asked by its own programs,
// systemd-run(1) and systemctl(1).
type Timer struct {
	// Root stands for "/" where systemd is looked for, "" for that itself.
	Root string
	// Unit is the name of timer and service, without ".timer" and ".service". No
	// other unit may have it.
	Unit string
}

// Elapse says when a timer starts what.
type Elapse struct {
	// After is the time until then.
	After time.Duration
	// Now is the wall clock. The service is started also when that has come
	// After further, which it does if the machine is suspended meanwhile: the
	// clock of timers stands still then.
	Now  time.Time
	Args []string // behind the program's name
	// Paths are files that the service will look for by these names.
	Paths []string
	// About says in a clause what the service is for.
	About string
}

// ErrNoSystemd says that systemd is not the first process here, so that there are
// no timers.
var ErrNoSystemd = errors.New("systemd does not run here")

// obliging is how long a program of systemd may take.
const obliging = 5 * time.Second

// Start starts the timer. The error is [ErrNoSystemd], or says why systemd did
// not start it or would not find the program or the paths, as where it sees
// another file system.
//
// The service is restarted as often as it is killed, not if it fails by itself.
// Neither it nor the timer depends on other units, or ends with them.
func (t Timer) Start(o Elapse) error {
	if err := Systemd(t.Root); err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	for _, path := range append([]string{self}, o.Paths...) {
		if err := seenBySystemd(path); err != nil {
			return err
		}
	}
	args := []string{
		"--quiet", "--no-ask-password", "--collect", "--unit=" + t.Unit, "--description=" + o.About,
		fmt.Sprintf("--on-active=%dms", o.After.Milliseconds()),
		"--on-calendar=" + o.Now.Add(o.After+time.Second).UTC().Format("2006-01-02 15:04:05 UTC"),
		"--timer-property=AccuracySec=100ms",
		"--property=Restart=on-abnormal", "--property=RestartSec=2s",
	}
	for _, property := range []string{"DefaultDependencies=no", "IgnoreOnIsolate=yes"} {
		args = append(args, "--timer-property="+property, "--property="+property)
	}
	return t.run("systemd-run", append(append(args, "--", self), o.Args...)...)
}

// Stop stops the timer, if it is there; what it has started goes on. It does not
// wait until it is gone.
func (t Timer) Stop() error {
	if !t.Waits() {
		return nil
	}
	return t.run("systemctl", "--quiet", "--no-ask-password", "--no-block", "stop", t.Unit+".timer")
}

// Waits reports whether the timer is there: it waits, or what it has started
// runs.
func (t Timer) Waits() bool {
	_, err := os.Lstat(filepath.Join("/", t.Root, "run/systemd/transient", t.Unit+".timer"))
	return err == nil
}

// Systemd returns ErrNoSystemd unless systemd is the first process. Root is that
// of [Timer].
func Systemd(root string) error {
	info, err := os.Lstat(filepath.Join("/", root, "run/systemd/system"))
	if err != nil || !info.IsDir() {
		return ErrNoSystemd
	}
	first, err := os.ReadFile("/proc/1/comm")
	if err == nil && string(first) != "systemd\n" {
		return ErrNoSystemd
	}
	return err
}

// seenBySystemd reports whether a path leads systemd to the same file.
func seenBySystemd(path string) error {
	ours, err := os.Stat(path)
	if err != nil {
		return err
	}
	theirs, err := os.Stat("/proc/1/root" + path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, theirs):
		return fmt.Errorf("systemd does not see %s: this program has a file system of its own", path)
	case err != nil:
		return fmt.Errorf("look for %s as systemd sees it: %w", path, errors.Unwrap(err))
	}
	return nil
}

// run runs a program of systemd, with an environment that nobody but systemd has
// a say in.
func (t Timer) run(program string, args ...string) error {
	path, err := find(program)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), obliging)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // nothing to ask on
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer within %v", program, obliging)
	case said == "":
		return fmt.Errorf("%s: %w", program, err)
	}
	return fmt.Errorf("%s: %s", program, said)
}

// find returns where a program of systemd is, in the places where distributions
// have it: what the environment says must not matter.
func find(program string) (string, error) {
	for _, dir := range []string{"/usr/bin", "/bin", "/run/current-system/sw/bin"} {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}

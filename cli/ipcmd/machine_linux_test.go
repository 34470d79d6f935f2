package ipcmd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// machine is what a session works on: a network namespace, and folders /etc,
// /usr/share and /run that hold little else than the names in testdata/stock.
// All of it goes away with the thread that is in it.
type machine struct {
	ns   *kernel.NetNS
	dir  string   // the working directory
	path string   // of the ip of the session
	env  []string // of every program
	jobs chan func()
	done chan struct{}
}

// newMachine makes a machine where programs find the ip of a path in PATH. With
// an empty path that is ours.
func newMachine(t *testing.T, ip string) *machine {
	t.Helper()
	m := &machine{ns: kerneltest.Namespace(t), dir: t.TempDir(), jobs: make(chan func()), done: make(chan struct{})}
	bin := t.TempDir()
	m.path = filepath.Join(bin, "ip")
	m.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if ip == "" {
		m.env = append(m.env, asProgram+"=1")
		var err error
		if ip, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(ip, m.path); err != nil {
		t.Fatal(err)
	}
	ready := make(chan error)
	go func() {
		defer close(m.done)
		_ = m.ns.Do(func() error {
			runtime.LockOSThread() // for ever: nobody else may have this thread
			ready <- m.furnish()
			for job := range m.jobs {
				job()
			}
			return nil
		})
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a machine: %v", err)
	}
	t.Cleanup(func() { close(m.jobs); <-m.done })
	return m
}

// do runs f on the machine.
func (m *machine) do(f func()) {
	ended := make(chan struct{})
	m.jobs <- func() { defer close(ended); f() }
	<-ended
}

// kept are the files of /etc that the programs of a session need.
var kept = []string{"ld.so.cache", "nsswitch.conf", "passwd"}

// furnish gives the calling thread folders of its own.
func (m *machine) furnish() error {
	files := map[string][]byte{}
	for _, name := range kept {
		if data, err := os.ReadFile("/etc/" + name); err == nil {
			files["/etc/"+name] = data
		}
	}
	stock, err := filepath.Glob("testdata/stock/*")
	for _, name := range stock {
		data, readErr := os.ReadFile(name)
		path := "/etc/iproute2/" + filepath.Base(name)
		if strings.HasSuffix(path, "/protocols") {
			path = "/etc/protocols"
		}
		files[path], err = data, errors.Join(err, readErr)
	}
	err = errors.Join(err, unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for _, dir := range []string{"/etc", "/usr/share", "/run"} {
		err = errors.Join(err, unix.Mount("none", dir, "tmpfs", 0, "mode=755"))
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{"/etc/iproute2", "/usr/share/iproute2", "/run/netns"} {
		err = errors.Join(err, os.MkdirAll(dir, 0o755))
	}
	for path, data := range files {
		err = errors.Join(err, os.WriteFile(path, data, 0o644))
	}
	return errors.Join(err, unix.Chdir(m.dir))
}

// program makes a program that starts on the machine.
func (m *machine) program(env []string, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = m.dir, slices.Concat(m.env, env)
	return cmd
}

// run runs a program on the machine and waits for its end.
func (m *machine) run(cmd *exec.Cmd, stdin []byte) (o outcome) {
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	m.do(func() {
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			errs.WriteString(err.Error())
		}
	})
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ours runs our ip in this process. What is not for it is done by the ip of
// iproute2 at system.
func (m *machine) ours(env []string, stdin []byte, args []string, system string) (o outcome) {
	var out, errs bytes.Buffer
	m.do(func() {
		o.code = Call{
			Args: args, Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &errs, NetNS: m.ns,
			Getenv: func(key string) string {
				for _, v := range env {
					if value, ok := strings.CutPrefix(v, key+"="); ok {
						return value
					}
				}
				return ""
			},
			HandOver: func(args []string) int {
				cmd := m.program(env, system, args...)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
				_ = cmd.Run() // its exit code says how it ended
				return cmd.ProcessState.ExitCode()
			},
		}.Run()
	})
	o.stdout, o.stderr = out.String(), errs.String()
	return o
}

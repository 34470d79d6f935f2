package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// mounts is a mount namespace, which programs of a test are started in.
type mounts struct{ fd int }

// newMounts makes a mount namespace where change has mounted something. Nobody
// else sees it.
func newMounts(t *testing.T, change func() error) mounts {
	t.Helper()
	type made struct {
		fd  int
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		fd, err := unshareMounts(change)
		done <- made{fd, err}
	}()
	m := <-done
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { unix.Close(m.fd) })
	return mounts{m.fd}
}

func unshareMounts(change func() error) (fd int, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return -1, fmt.Errorf("new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return -1, fmt.Errorf("keep mounts private: %w", err)
	}
	if err := change(); err != nil {
		return -1, err
	}
	return unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// enter moves the thread of the caller, which is lost by that.
func (m mounts) enter() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(m.fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter mount namespace: %w", err)
	}
	return nil
}

// changes returns what happened to rules and routes of ours since a watcher was
// opened. It makes a rule to know the end by.
func (h *host) changes(t *testing.T, w *kernel.Watcher) (told []string) {
	t.Helper()
	h.script(t, "ip rule add pref 31000 from 192.0.2.94 lookup 7")
	defer h.script(t, "ip rule del pref 31000 from 192.0.2.94 lookup 7")
	for {
		e, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Type == kernel.EventRule && e.Rule.Priority == 31000:
			return told
		case e.Type == kernel.EventRule && e.Rule.Protocol == rpdb.ProtocolRPDB:
			told = append(told, words(t, e.Rule))
		case e.Type == kernel.EventRoute && e.Route.Protocol == rpdb.ProtocolRPDB:
			told = append(told, words(t, e.Route))
		}
	}
}

// TestFullDisk gives a trial a file system of every size, in bytes and in files,
// from one that holds nothing to the first that it fits on (D3). Where it does
// not fit, nothing is sent to the kernel; where it does, it can be confirmed.
func TestFullDisk(t *testing.T) {
	for _, limit := range []string{"size=%dk", "nr_inodes=%d"} {
		t.Run(strings.Trim(limit, "=%dk"), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			disk := filepath.Join(h.dir, "disk")
			if err := os.Mkdir(disk, 0o700); err != nil {
				t.Fatal(err)
			}
			h.state = filepath.Join(disk, "state")
			refused := 0
			for n := 1; ; n++ {
				options := fmt.Sprintf(limit, n)
				if strings.HasPrefix(limit, "size") {
					options = fmt.Sprintf(limit, 4*n)
				}
				if h.fits(t, disk, options) {
					break
				}
				refused++
			}
			t.Logf("%d are too small", refused)
			if refused < 3 {
				t.Errorf("only %d are too small", refused)
			}
		})
	}
}

// fits applies a policy for trial on a small file system, and confirms it if that
// was done.
func (h *host) fits(t *testing.T, disk, options string) bool {
	t.Helper()
	h.mounts = newMounts(t, func() error {
		return unix.Mount("tmpfs", disk, "tmpfs", 0, "mode=700,"+options)
	}).enter
	w, err := h.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	message := strings.Repeat("long ", 2000)
	said, exit := h.run(t, "apply", "A.yaml", "--confirm", "1h", "-m", message)
	if exit == 0 {
		h.killGuards(t)
		h.want(t, 0, "confirm")
		h.want(t, 0, "status")
		return true
	}
	if told := h.changes(t, w); len(told) > 0 {
		t.Errorf("%s: refused, and yet changed: %q", options, told)
	}
	if !strings.Contains(said, "no space left on device") {
		t.Errorf("%s: %s", options, said)
	}
	return false
}

// TestReadOnlyDisk is a state directory on a file system that cannot be written
// to (D3).
func TestReadOnlyDisk(t *testing.T) {
	h := newHost(t)
	h.want(t, 0, "apply", "A.yaml")
	before := h.look(t)
	h.mounts = newMounts(t, func() error {
		err := unix.Mount(h.state, h.state, "", unix.MS_BIND, "")
		return errors.Join(err, unix.Mount("", h.state, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	}).enter
	w, err := h.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, args := range [][]string{{"apply", "B.yaml"}, {"apply", "B.yaml", "--confirm", "1h"}, {"confirm"}, {"rollback", "1"}, {"remove"}} {
		if said := h.want(t, 1, args...); !strings.Contains(said, "read-only file system") {
			t.Errorf("%q: %s", args, said)
		}
	}
	h.want(t, 0, "status")
	h.want(t, 0, "history")
	if told := h.changes(t, w); len(told) > 0 || h.look(t) != before {
		t.Errorf("changed: %q", told)
	}
}

// TestNobodyReadsTheAnswer of a confirm: the error says what is in force all the
// same.
func TestNobodyReadsTheAnswer(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	h := newHost(t)
	for args, want := range map[string]string{
		"confirm": "generation 2 is confirmed; to say so: ", "rollback": "generation 2 is rolled back; to say so: ",
	} {
		h.state = filepath.Join(h.dir, args)
		h.want(t, 0, "apply", "A.yaml")
		h.want(t, 0, "apply", "B.yaml", "--confirm", "1h")
		cmd := h.command(args)
		said := h.output(t)
		cmd.Stdout, cmd.Stderr = full, said
		if err := h.NetNS().Do(cmd.Run); err == nil {
			t.Errorf("%s: ended with 0", args)
		}
		if got := h.said(t, said); !strings.Contains(got, want) {
			t.Errorf("%s: %s", args, got)
		}
		said.Close()
		h.killGuards(t)
	}
}

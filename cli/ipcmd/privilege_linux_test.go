package ipcmd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb/kernel/kerneltest"
)

// Capabilities of the program's file are of no use to an ordinary user, those
// that were given on purpose are.
func TestFileCapabilities(t *testing.T) {
	const nobody = 65534
	kerneltest.NeedUID(t, nobody)
	ns := kerneltest.Namespace(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ip")
	own, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, own, 0o755)
	}
	if err == nil { // struct vfs_cap_data: version 2, effective, and what is permitted
		file := binary.LittleEndian.AppendUint32(nil, 0x02000001)
		file = binary.LittleEndian.AppendUint32(file, 1<<unix.CAP_NET_ADMIN)
		err = unix.Setxattr(path, "security.capability", append(file, make([]byte, 12)...), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(ambient []uintptr, args ...string) outcome {
		var out, errs bytes.Buffer
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: ambient}
		var exit *exec.ExitError
		if err := ns.Do(cmd.Run); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	}
	refused := run(nil, "rule", "add", "pref", "5", "nop")
	if want := (outcome{2, "", "RTNETLINK answers: Operation not permitted\n"}); refused != want {
		t.Errorf("add: %v", refused)
	}
	if listed := run(nil, "rule", "list", "pref", "0"); listed != (outcome{stdout: "0:\tfrom all lookup local\n"}) {
		t.Errorf("list: %v", listed)
	}
	if err := unix.Removexattr(path, "security.capability"); err != nil {
		t.Fatal(err)
	}
	if added := run([]uintptr{unix.CAP_NET_ADMIN}, "rule", "add", "pref", "5", "nop"); added != (outcome{}) {
		t.Errorf("add with ambient capabilities: %v", added)
	}
}

package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"rpdb/kernel/kerneltest"
)

// TestScripts runs the stories of testdata/script. Beside the commands of
// testscript they have:
//
//	host           make a new, empty host (a network namespace)
//	ip, sysctl     change the host, in the words of ip(8) and sysctl(8)
//	rpdb           run rpdb, on the host if there is one
//	code N         the last rpdb ended with this exit code
//	unhex IN OUT   write the bytes that a file spells in hexadecimal; # begins
//	               a comment
//	socket ...     make a socket on the host: see socketOfScript
//
// and the condition [programs]: whether the kernel takes programs of routes from here.
//
// $TESTPID is the process that holds the sockets.
//
// The files of names are those of the script: etc/iproute2/rt_tables and so on.
//
// UPDATE_GOLDEN=1 rewrites the expected texts.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			h := &scriptHost{t: t}
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv(rootVariable, env.WorkDir)
					env.Setenv("TESTPID", strconv.Itoa(os.Getpid()))
					return nil
				},
				Condition: func(what string) (bool, error) {
					if what != "programs" {
						return false, fmt.Errorf("no condition is called %q", what)
					}
					return kerneltest.FirstUserNamespace(), nil
				},
				UpdateScripts: os.Getenv("UPDATE_GOLDEN") != "",
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"host":   h.cmdHost,
					"ip":     h.cmdConfigure("ip"),
					"sysctl": h.cmdConfigure("sysctl"),
					"rpdb":   h.cmdRPDB,
					"code":   h.cmdCode,
					"unhex":  cmdUnhex,
					"socket": h.cmdSocket,
				},
			})
		})
	}
}

// scriptHost is the host that a script works on, and the last exit code.
type scriptHost struct {
	t      *testing.T
	kernel *kerneltest.Kernel
	code   int
}

func (h *scriptHost) cmdHost(*testscript.TestScript, bool, []string) {
	h.kernel = kerneltest.Real(h.t)
}

func (h *scriptHost) cmdConfigure(program string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		line := program + " " + strings.Join(args, " ")
		err := kerneltest.Script(h.t.Context(), h.kernel, line)
		if neg != (err != nil) {
			ts.Fatalf("%s: %v", line, err)
		}
	}
}

func (h *scriptHost) cmdRPDB(ts *testscript.TestScript, neg bool, args []string) {
	// A state from a file, try, and what comes at boot are not about the host.
	ofFile := func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return name == "--snapshot" || name == "--from-text"
	}
	ofHost := !slices.ContainsFunc(args, ofFile) && !slices.Contains(args, "try") && !slices.Contains(args, "enable") && !slices.Contains(args, "disable")
	if h.kernel != nil && ofHost {
		args = append([]string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.kernel.NetNS().FD())}, args...)
	}
	err := ts.Exec("rpdb-program", args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		h.code = 0
	case errors.As(err, &exit):
		h.code = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if neg != (h.code != 0) {
		ts.Fatalf("rpdb %s: exit code %d", strings.Join(args, " "), h.code)
	}
}

func cmdUnhex(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: unhex IN OUT")
	}
	var digits strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		code, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	data, err := hex.DecodeString(digits.String())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

func (h *scriptHost) cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(strings.Join(args, " "))
	ts.Check(err)
	if h.code != want {
		ts.Fatalf("exit code %d, want %d", h.code, want)
	}
}

func (h *scriptHost) cmdSocket(ts *testscript.TestScript, neg bool, args []string) {
	family, kind, setUp, err := socketOfScript(args)
	ts.Check(err)
	fd := -1
	err = h.kernel.NetNS().Do(func() (err error) {
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for _, step := range setUp {
			if err := step(fd); err != nil {
				return err
			}
		}
		return nil
	})
	if fd >= 0 {
		ts.Defer(func() { unix.Close(fd) })
	}
	if neg != (err != nil) {
		ts.Fatalf("socket %s: %v", strings.Join(args, " "), err)
	}
}

// socketOfScript reads how a socket is to be made: "tcp", "tcp6", "udp" or
// "udp6", then what is done with it in this order: "mark N", "tos N", "dev NAME",
// "bind ADDRESS:PORT", "connect ADDRESS:PORT", "listen".
func socketOfScript(words []string) (family, kind int, setUp []func(fd int) error, err error) {
	family, kind = unix.AF_INET, unix.SOCK_DGRAM
	if len(words) > 0 && strings.HasPrefix(words[0], "tcp") {
		kind = unix.SOCK_STREAM
	}
	if len(words) > 0 && strings.HasSuffix(words[0], "6") {
		family = unix.AF_INET6
	}
	for i := 1; i < len(words); i++ {
		if words[i] == "listen" {
			setUp = append(setUp, func(fd int) error { return unix.Listen(fd, 1) })
			continue
		}
		if i++; i == len(words) {
			return 0, 0, nil, fmt.Errorf("socket: no value for %q", words[i-1])
		}
		step, err := socketStep(words[i-1], words[i])
		if err != nil {
			return 0, 0, nil, err
		}
		setUp = append(setUp, step)
	}
	return family, kind, setUp, nil
}

func socketStep(word, value string) (func(fd int) error, error) {
	n, _ := strconv.ParseInt(value, 0, 32)
	switch word {
	case "mark":
		return socketOption(unix.SOL_SOCKET, unix.SO_MARK, int(n)), nil
	case "tos":
		return socketOption(unix.IPPROTO_IP, unix.IP_TOS, int(n)), nil
	case "dev":
		return func(fd int) error { return unix.BindToDevice(fd, value) }, nil
	case "bind":
		return bound(value), nil
	case "connect":
		return connects(value), nil
	}
	return nil, fmt.Errorf("socket: %q is no word", word)
}

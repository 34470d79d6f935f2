package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// TestScripts runs the stories of testdata/script. Beside the commands of
// testscript they have:
//
//	host           make a new, empty host (a network namespace)
//	ip, sysctl     change the host, in the words of ip(8) and sysctl(8)
//	rpdb           run rpdb on the host
//	code N         the last rpdb ended with this exit code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_GOLDEN") != "",
		Setup: func(env *testscript.Env) error {
			env.Values["host"] = &scriptHost{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"host":   cmdHost,
			"ip":     cmdConfigure("ip"),
			"sysctl": cmdConfigure("sysctl"),
			"rpdb":   cmdRPDB,
			"code":   cmdCode,
		},
	})
}

// scriptHost is the host that a script works on.
type scriptHost struct {
	ns   *kernel.NetNS
	conn *kernel.Conn
	code int
}

func hostOf(ts *testscript.TestScript) *scriptHost { return ts.Value("host").(*scriptHost) }

func cmdHost(ts *testscript.TestScript, neg bool, args []string) {
	h := hostOf(ts)
	var err error
	h.ns, err = kernel.NewNetNS()
	ts.Check(err)
	ts.Defer(func() { h.ns.Close() })
	h.conn, err = kernel.Open(kernel.Options{NetNS: h.ns})
	ts.Check(err)
	ts.Defer(func() { h.conn.Close() })
}

func cmdConfigure(program string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		h := hostOf(ts)
		line := program + " " + strings.Join(args, " ")
		err := kerneltest.RunCommand(ts, h.conn, h.ns, line)
		if neg != (err != nil) {
			ts.Fatalf("%s: %v", line, err)
		}
	}
}

func cmdRPDB(ts *testscript.TestScript, neg bool, args []string) {
	h := hostOf(ts)
	if h.ns != nil {
		args = append([]string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns.FD())}, args...)
	}
	err := ts.Exec("rpdb", args...)
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

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(strings.Join(args, " "))
	ts.Check(err)
	if got := hostOf(ts).code; got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

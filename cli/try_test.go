package cli

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb/kernel/kerneltest"
)

// program returns this test binary as the program rpdb.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = append([]string{"rpdb-program"}, args...)
	return cmd
}

// TestTryExamples rehearses every example: the README's first command.
func TestTryExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("examples: %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if filepath.Base(file) == "nptv6.yaml" {
				kerneltest.NeedPrograms(t)
			}
			var stderr strings.Builder
			cmd := program(t, "try", "--json", file)
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
			}
			var r rehearsal
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatal(err)
			}
			if !r.OK || len(r.After) < 10 || len(r.Steps) == 0 {
				t.Errorf("ok %v, %d probes, %d steps", r.OK, len(r.After), len(r.Steps))
			}
			for _, p := range r.After {
				if !p.Agrees {
					t.Errorf("%s: engine said %s", p.Name, foretold(p.Predicted))
				}
			}
		})
	}
}

// TestTryShowsTheFault: before the policy the second uplink's addresses do
// not answer, after it they do, by their own uplink.
func TestTryShowsTheFault(t *testing.T) {
	out, err := program(t, "try", "../examples/two-uplinks.yaml").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, after, ok := strings.Cut(string(out), "After the policy")
	if !ok {
		t.Fatalf("no table after the policy:\n%s", out)
	}
	for _, address := range []string{"10.10.0.10", "2001:db8:b::10"} {
		name := "outside -> " + address + " by isp-b"
		if row := rowOf(before, name); !strings.Contains(row, " eth0 ") || strings.Count(row, "dropped") != 3 {
			t.Errorf("before: %q", row)
		}
		if row := rowOf(after, name); !strings.Contains(row, " eth1 ") || strings.Count(row, " ok") != 3 {
			t.Errorf("after: %q", row)
		}
	}
	for line := range strings.Lines(string(out)) {
		if len(line) > 101 {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
	}
}

// TestTryReadsStandardInput: the policy is read by parent and child.
func TestTryReadsStandardInput(t *testing.T) {
	file, err := os.Open("../examples/two-uplinks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := program(t, "try", "-")
	cmd.Stdin = file
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "The policy works") {
		t.Errorf("%v\n%s", err, out)
	}
}

func rowOf(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), name+" ") {
			return line
		}
	}
	return ""
}

// TestTryFindsAPolicyThatDoesNotWork: a policy that denies what an uplink must
// answer ends with exit code 1, though the engine foretold it.
func TestTryFindsAPolicyThatDoesNotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deny.yaml")
	text := `
uplinks: [{interface: eth0, gateways: [192.168.0.1]}]
rules:
  - {name: deny, family: ipv4, from: 192.168.0.10, action: prohibit}
  - uplinks
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := program(t, "try", file).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "FAILED: ") || !strings.Contains(string(out), "EACCES") {
		t.Errorf("output:\n%s", out)
	}
}

// TestTryTakesTheTunnelDown: the kill switch of the example holds IPv4 and, as
// its comment says, not IPv6; with the uplinks' rules behind it, it holds both.
func TestTryTakesTheTunnelDown(t *testing.T) {
	data, err := os.ReadFile("../examples/vpn-fwmark.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tight := strings.Replace(string(data), "  - uplinks\n", "", 1) + "\n  - uplinks\n"
	for text, ipv6 := range map[string]string{string(data): " ok", tight: "EACCES"} {
		cmd := program(t, "try", "-")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, down, _ := strings.Cut(string(out), "With wg0 down")
		if row := rowOf(down, "unbound -> outside (IPv4)"); strings.Count(row, "EACCES") != 3 {
			t.Errorf("IPv4: %q", row)
		}
		if row := rowOf(down, "unbound -> outside (IPv6)"); strings.Count(row, ipv6) != 3 {
			t.Errorf("IPv6: %q, want %s", row, ipv6)
		}
	}
}

// TestTryNeedsAnUplink: without one there is nothing to rehearse, and saying
// that the policy works would be a lie.
func TestTryNeedsAnUplink(t *testing.T) {
	cmd := program(t, "try", "-")
	cmd.Stdin = strings.NewReader("rules: []\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err == nil || !strings.Contains(stderr.String(), "the policy has no uplinks") {
		t.Errorf("%v\n%s%s", err, out, stderr.String())
	}
}

// TestTryForetellsARefusedAnswer: an answer that the RPDB refuses is what the
// engine said, and the policy is what does not work.
func TestTryForetellsARefusedAnswer(t *testing.T) {
	cmd := program(t, "try", "-")
	cmd.Stdin = strings.NewReader(`
uplinks: [{interface: eth0, gateways: [192.168.0.1]}]
rules:
  - {name: kill, from: 192.168.0.0/24, action: blackhole}
  - uplinks
`)
	out, err := cmd.Output()
	if err == nil || strings.Contains(string(out), "DISAGREES") || !strings.Contains(string(out), "lost under this policy") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTryFacesAPeer: an uplink whose address is its own network, as ppp has
// it, faces its gateway as a peer, in both families.
func TestTryFacesAPeer(t *testing.T) {
	cmd := program(t, "try", "-")
	cmd.Stdin = strings.NewReader(`
uplinks:
  - {interface: eth0, gateways: [192.168.0.1]}
  - {interface: ppp0, gateways: [198.51.100.1, "2001:db8:9::1"], addresses: [198.51.100.7/32, "2001:db8:9::7/128"]}
`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, after, _ := strings.Cut(string(out), "After the policy")
	for _, address := range []string{"198.51.100.7", "2001:db8:9::7"} {
		if row := rowOf(after, "outside -> "+address+" by ppp0"); !strings.Contains(row, " ppp0 ") || strings.Count(row, " ok") != 3 {
			t.Errorf("%q", row)
		}
	}
}

// TestTryInterrupted: Ctrl-C ends try within moments and with an error, at
// whatever moment it comes, and leaves no child behind.
func TestTryInterrupted(t *testing.T) {
	for _, after := range []time.Duration{20 * time.Millisecond, 120 * time.Millisecond, 300 * time.Millisecond} {
		cmd := program(t, "try", "../examples/three-uplinks.yaml")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("interrupted after %v: no error", after)
		}
		if err := syscall.Kill(-cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("interrupted after %v: a process is left", after)
		}
	}
}

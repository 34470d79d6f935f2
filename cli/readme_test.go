package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rpdb/kernel/kerneltest"
)

// howtoHost is the host of the README: two uplinks and one default route.
func howtoHost() []string {
	return strings.Split(`sysctl net.ipv6.conf.default.addr_gen_mode=1
ip link add eth0 type veth peer name gw0
ip link add eth1 type veth peer name gw1
ip link set eth0 up
ip link set gw0 up
ip link set eth1 up
ip link set gw1 up
ip addr add 192.168.0.10/24 dev eth0
ip addr add 10.10.0.10/24 dev eth1
ip addr add 2001:db8:a::10/64 dev eth0 nodad
ip addr add 2001:db8:b::10/64 dev eth1 nodad
ip route add default via 192.168.0.1
ip -6 route add default via 2001:db8:a::1`, "\n")
}

// TestReadme runs the tour of the README in its order on the host that it
// describes: every command prints what the README shows. A line of three dots
// stands for any lines.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	host := kerneltest.Real(t)
	if err := kerneltest.Script(t.Context(), host, howtoHost()...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(examples, filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(fences(readme, "yaml")[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	bootable(t, dir)
	if commands := checkConsole(t, host, dir, readme); commands < 6 {
		t.Errorf("the README shows %d commands only", commands)
	}
}

// bootable makes a root directory look like that of a host with systemd and
// ifupdown, with rpdb at [installedProgram].
func bootable(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"run/systemd/system", "etc/network/if-up.d", "usr/sbin"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{installedProgram, "usr/sbin/ifup"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// installedProgram is where the pages have rpdb installed.
const installedProgram = "/usr/sbin/rpdb"

// TestExplainPage runs the examples of docs/explain.md on the hosts that it
// describes, each of which has the policy that follows.
func TestExplainPage(t *testing.T) {
	data, err := os.ReadFile("../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "```host\n")[1:]
	if len(parts) < 2 {
		t.Fatalf("the page has %d hosts only", len(parts))
	}
	for _, part := range parts {
		lines, part, _ := strings.Cut(part, "\n```\n")
		host, dir := kerneltest.Real(t), t.TempDir()
		if err := kerneltest.Script(t.Context(), host, strings.Split(lines, "\n")...); err != nil {
			t.Fatal(err)
		}
		for _, policy := range fences(part, "yaml") {
			if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(policy), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if commands := checkConsole(t, host, dir, part); commands < 4 {
			t.Errorf("this part of the page shows %d commands only:\n%s", commands, part)
		}
	}
}

// checkConsole runs the commands that a page shows, in its order, and compares
// what they print. It returns how many there are.
func checkConsole(t *testing.T, host *kerneltest.Kernel, dir, page string) (commands int) {
	t.Helper()
	for _, fence := range fences(page, "console") {
		for block := range strings.SplitSeq("\n"+fence, "\n$ ") {
			line, want, _ := strings.Cut(block, "\n")
			if line == "" {
				continue
			}
			commands++
			args := strings.Fields(strings.TrimPrefix(line, "sudo "))[1:]
			if args[0] == "enable" { // a test is in no place to be started from at boot
				args = append(args, "--program", installedProgram)
			}
			var out []byte
			_ = host.NetNS().Do(func() error {
				cmd := exec.Command("/proc/self/exe")
				cmd.Args, cmd.Dir = append([]string{"rpdb-program"}, args...), dir
				cmd.Env = append(os.Environ(), rootVariable+"="+dir)
				out, _ = cmd.Output()
				return nil
			})
			if got := string(out); !elided(want).MatchString(strings.TrimRight(got, "\n")) {
				t.Errorf("$ %s\n%s\nthe page shows\n%s", line, got, want)
			}
		}
	}
	return commands
}

// fences returns the fenced blocks of a language.
func fences(text, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)\n```$").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// elided is the pattern of an output with lines left out.
func elided(want string) *regexp.Regexp {
	var pattern strings.Builder
	for i, line := range strings.Split(want, "\n") {
		switch {
		case line == "..." && i == 0:
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		case line == "...":
			pattern.WriteString(`(?:.*\n?)*?`)
			continue
		}
		pattern.WriteString(regexp.QuoteMeta(line) + `(?:\n|$)`)
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`)
}

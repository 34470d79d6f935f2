package ipcmd

import (
	"bytes"
	"regexp"
	"testing"
)

// run runs a command line that needs no kernel.
func run(args ...string) outcome {
	var out, errs bytes.Buffer
	code := Call{Args: args, Stdout: &out, Stderr: &errs, HandOver: func([]string) int { return -1 }}.Run()
	return outcome{code, out.String(), errs.String()}
}

// The version is ours to tell, as soon as it is asked for. Scripts look for
// "iproute2" in it.
func TestVersion(t *testing.T) {
	line := regexp.MustCompile(`^ip utility, iproute2-7\.1\.0, rpdb \S+\n$`)
	for _, args := range [][]string{
		{"-V"}, {"-Version"}, {"--Version"}, {"-j", "-V"}, {"-V", "rule"}, {"-Ve", "nosuch"}, {"-batch", "nosuch", "-V"}, {"-V", "-nosuch"},
	} {
		if o := run(args...); o.code != 0 || o.stderr != "" || !line.MatchString(o.stdout) {
			t.Errorf("ip %q: %v", args, o)
		}
	}
	if o := run("-nosuch", "-V"); o.code != 255 || o.stdout != "" {
		t.Errorf("a wrong option in front: %v", o)
	}
}

// A folder is no batch. ip reads nothing of it and is content.
func TestFolderAsBatch(t *testing.T) {
	want := "Cannot open file \"testdata\" for reading: Is a directory\n"
	for _, args := range [][]string{{"-batch", "testdata"}, {"-force", "-b", "testdata"}} {
		if o := run(args...); o.code != 1 || o.stderr != want {
			t.Errorf("ip %q: %v", args, o)
		}
	}
}

// Programs that are to be ip, and those that only look so.
func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"ip": true, "/usr/local/sbin/ip": true, "iprule": true, "./iproute": true, "ipmonitor": true,
		"": false, "rpdb": false, "/opt/ip/rpdb": false, "ip.real": false, "ipx": true, "ipset": false, "iptables": false, "rule": false, "i": false, "/": false,
	} {
		if got := IsName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

package cli

import (
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestIPReadsWhatWasNamed asks the ip of iproute2, in namespaces of its own in
// which our files are those of the machine: it takes the names that we gave, and
// prints them, whatever characters they have and however large the number is.
func TestIPReadsWhatWasNamed(t *testing.T) {
	root := t.TempDir()
	const odd = "A-b.c:d/e@f,g%h_i+9"
	for _, args := range [][]string{
		{"table", "name", "101", "isp-a"},
		{"table", "name", "2147483647", odd},
		{"table", "name", "102", strings.Repeat("n", 506)},
		{"table", "name", "103", "gone"},
		{"table", "unname", "gone"},
	} {
		var errs strings.Builder
		if code := run(t.Context(), args, Streams{Out: io.Discard, Err: &errs}, root); code != exitOK {
			t.Fatalf("%q: %s", args, &errs)
		}
	}
	const session = `mount --bind "$1/etc" /etc
ip rule add pref 1 lookup isp-a
ip rule add pref 2 lookup "$2"
ip rule add pref 3 lookup 102
ip rule add pref 4 lookup 103
ip rule list`
	out, err := exec.Command("unshare", "-m", "-n", "sh", "-ec", session, "sh", root, odd).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "1:\tfrom all lookup isp-a\n2:\tfrom all lookup " + odd + "\n3:\tfrom all lookup " + strings.Repeat("n", 506) + "\n4:\tfrom all lookup 103\n"
	if _, got, _ := strings.Cut(string(out), "local\n"); !strings.HasPrefix(strings.ReplaceAll(got, " \n", "\n"), want) {
		t.Errorf("ip prints\n%s\nwant\n%s", got, want)
	}
}

package ipcmd

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// peer is an ip of iproute2 to compare with.
type peer struct {
	path string
	release
}

// release is a version of iproute2. The zero value is before all others.
type release struct{ major, minor int }

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

// before reports whether r is older than another release.
func (r release) before(other release) bool {
	return r.major < other.major || r.major == other.major && r.minor < other.minor
}

// What releases brought. Between 6.15 and 7.2 none was at hand.
var (
	// withMasks brought masks of ports and of the DSCP, and hexadecimal ports.
	// It knows DSCP and flow labels, too.
	withMasks = release{6, 15}
	// withDark takes a background that nobody named for dark, and shows IPv6
	// addresses there in a brighter blue.
	withDark = release{6, 16}
	// withNames refuses what the kernel takes for no name of an interface.
	withNames = release{6, 16}
	// withEscapes escapes control bytes in JSON.
	withEscapes = release{6, 16}
)

var releaseText = regexp.MustCompile(`iproute2-(\d+)\.(\d+)`)

// releaseOf asks an ip for its version.
func releaseOf(path string) (r release, err error) {
	out, err := exec.Command(path, "-V").Output()
	if err != nil {
		return r, err
	}
	m := releaseText.FindSubmatch(out)
	if m == nil {
		return r, fmt.Errorf("%s is not iproute2: it says %q", path, out)
	}
	r.major, _ = strconv.Atoi(string(m[1]))
	r.minor, _ = strconv.Atoi(string(m[2]))
	return r, nil
}

// theirs returns the iproute2 that RPDB_TWIN_IP names, or else that of this
// machine.
func theirs(t *testing.T) peer {
	t.Helper()
	path := os.Getenv("RPDB_TWIN_IP")
	if path == "" {
		return systems(t)
	}
	r, err := releaseOf(path)
	if err != nil {
		t.Fatalf("RPDB_TWIN_IP: %v", err)
	}
	return peer{path, r}
}

// systems returns the iproute2 of this machine, which a command that is not
// for us is handed to.
func systems(t *testing.T) peer {
	t.Helper()
	var r release
	path, err := exec.LookPath("ip")
	if err == nil {
		r, err = releaseOf(path)
	}
	if err != nil {
		if os.Getenv("RPDB_NO_SKIP") == "1" {
			t.Fatalf("no iproute2 to compare with: %v", err)
		}
		t.Skipf("no iproute2 to compare with: %v", err)
	}
	return peer{path, r}
}

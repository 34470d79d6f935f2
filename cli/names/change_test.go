package names_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/cli/names"
	"rpdb/format/rttables"
)

const tablesDir = "etc/iproute2/rt_tables.d"

// dropIn returns what our file holds.
func dropIn(t *testing.T, f names.Files) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.Root, f.DropIn()))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// allNames lists the files of a directory, hidden ones too.
func allNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// TestNameTable begins on a machine without any directory of iproute2, under a
// umask that would hide what is made.
func TestNameTable(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	f := machine(t, map[string]string{"usr/share/iproute2/rt_tables": "7 vendor\n"})
	if err := os.Chmod(f.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for table, name := range map[rpdb.TableID]string{101: "isp-a", 102: "isp-b"} {
		if err := f.NameTable(t.Context(), table, name); err != nil {
			t.Fatal(err)
		}
	}
	n, err := f.Load()
	if err != nil || n.Table(101) != "isp-a" || n.Table(102) != "isp-b" || n.Table(7) != "vendor" {
		t.Errorf("names %v, %v", n.Tables, err)
	}
	for _, path := range []string{"etc", "etc/iproute2", tablesDir, tablesDir + "/rpdb.conf"} {
		info, err := os.Stat(filepath.Join(f.Root, path))
		if want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[err == nil && info.IsDir()]; err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if got := allNames(t, filepath.Join(f.Root, tablesDir)); got != "rpdb.conf" {
		t.Errorf("left over: %s", got)
	}
	if text := dropIn(t, f); !strings.HasPrefix(text, "# Names of routing tables") {
		t.Errorf("begins with %q", text)
	}
}

// TestNamingAgainWritesNothing: not even the file's place on the disk changes.
func TestNamingAgainWritesNothing(t *testing.T) {
	f := machine(t, map[string]string{"etc/iproute2/rt_tables": "7 lab\n"})
	if err := f.NameTable(t.Context(), 7, "lab"); err != nil {
		t.Fatal(err)
	}
	if got := allNames(t, filepath.Join(f.Root, "etc/iproute2")); got != "rt_tables" {
		t.Errorf("made: %s", got)
	}
	if err := f.NameTable(t.Context(), 8, "x"); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(f.Root, f.DropIn()))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.NameTable(t.Context(), 8, "x"); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(f.Root, f.DropIn()))
	if err != nil || !os.SameFile(before, after) || before.ModTime() != after.ModTime() {
		t.Errorf("written again: %v", err)
	}
}

// TestCommentsStay, and so does the file when its last name goes.
func TestCommentsStay(t *testing.T) {
	const text = "# Ours, said the admin.\n\n101 isp-a # fibre\n# the end\n"
	f := machine(t, map[string]string{tablesDir + "/rpdb.conf": text})
	if err := f.NameTable(t.Context(), 102, "isp-b"); err != nil {
		t.Fatal(err)
	}
	if got := dropIn(t, f); got != text+"102\tisp-b\n" {
		t.Errorf("named: %q", got)
	}
	for _, word := range []string{"102", "isp-a"} {
		if err := f.UnnameTable(t.Context(), word); err != nil {
			t.Fatal(err)
		}
	}
	if got := dropIn(t, f); got != "# Ours, said the admin.\n\n# the end\n" {
		t.Errorf("unnamed: %q", got)
	}
}

// TestNamesakeInUsrIsNotLost: a file in /etc hides the one of its name.
func TestNamesakeInUsrIsNotLost(t *testing.T) {
	f := machine(t, map[string]string{"usr/share/iproute2/rt_tables.d/rpdb.conf": "101 isp-a\n102 isp-b\n"})
	if err := f.NameTable(t.Context(), 103, "isp-c"); err != nil {
		t.Fatal(err)
	}
	if err := f.UnnameTable(t.Context(), "isp-a"); err != nil {
		t.Fatal(err)
	}
	if got := dropIn(t, f); got != "102 isp-b\n103\tisp-c\n" {
		t.Errorf("ours: %q", got)
	}
}

func TestChangesThatAreRefused(t *testing.T) {
	f := machine(t, map[string]string{
		"etc/iproute2/rt_tables":                "7 lab\n",
		"usr/share/iproute2/rt_tables.d/a.conf": "8 vendor\n",
	})
	for what, err := range map[string]error{
		`/etc/iproute2/rt_tables:1 gives this name to table 7`:            f.NameTable(t.Context(), 9, "lab"),
		`/usr/share/iproute2/rt_tables.d/a.conf:1 names it "vendor"`:      f.NameTable(t.Context(), 8, "isp"),
		`unname table 7: /etc/iproute2/rt_tables:1 gives its name, "lab"`: f.UnnameTable(t.Context(), "lab"),
		`name table 254 "isp": table 254 is main`:                         f.NameTable(t.Context(), 254, "isp"),
		`edits /etc/iproute2/rt_tables.d/rpdb.conf alone`:                 f.UnnameTable(t.Context(), "8"),
	} {
		if !errors.As(err, new(*rttables.NameError)) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
	if err := f.UnnameTable(t.Context(), "nosuch"); !errors.As(err, new(*rttables.UnknownNameError)) {
		t.Errorf("unname nosuch: %v", err)
	}
	if got := allNames(t, filepath.Join(f.Root, "etc/iproute2")); got != "rt_tables" {
		t.Errorf("made: %s", got)
	}
}

// TestOddFilesAreLeftAlone: links and folders in the place of our file.
func TestOddFilesAreLeftAlone(t *testing.T) {
	f := machine(t, map[string]string{tablesDir + "/real": ""})
	if err := os.Symlink("real", filepath.Join(f.Root, f.DropIn())); err != nil {
		t.Fatal(err)
	}
	if err := f.NameTable(t.Context(), 7, "lab"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("link: %v", err)
	}
	f = machine(t, map[string]string{"etc/iproute2/rt_tables.d": "no directory"})
	if err := f.NameTable(t.Context(), 7, "lab"); !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), `name table 7 "lab": `) {
		t.Errorf("file in place of the directory: %v", err)
	}
	f = machine(t, map[string]string{tablesDir + "/.rpdb.conf.new": "of a crash"})
	if err := f.NameTable(t.Context(), 7, "lab"); err != nil {
		t.Error(err)
	}
	if got := allNames(t, filepath.Join(f.Root, tablesDir)); got != "rpdb.conf" {
		t.Errorf("files: %s", got)
	}
}

// TestManyAtOnce: no name is lost, and whoever reads meanwhile sees whole files.
func TestManyAtOnce(t *testing.T) {
	f := machine(t, nil)
	const count = 24
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() {
			if err := f.NameTable(t.Context(), rpdb.TableID(1+i), fmt.Sprintf("t%d", i)); err != nil {
				t.Error(err)
			}
			if _, err := f.Load(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	n, err := f.Load()
	if err != nil || len(n.Tables) != count {
		t.Errorf("%d names, %v", len(n.Tables), err)
	}
}

// TestLockIsWaitedFor until the context ends.
func TestLockIsWaitedFor(t *testing.T) {
	f := machine(t, map[string]string{tablesDir + "/a.conf": ""})
	dir, err := os.Open(filepath.Join(f.Root, tablesDir))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if err := f.NameTable(ctx, 7, "lab"); err == nil || !strings.HasSuffix(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
}

// TestNamesOfANamespace: what stands in /etc/netns counts for it, alone.
func TestNamesOfANamespace(t *testing.T) {
	f := machine(t, map[string]string{
		"etc/iproute2/rt_tables":                 "7 lab\n",
		"etc/iproute2/rt_protos":                 "82 rpdb\n",
		"usr/share/iproute2/rt_protos":           "82 usr\n",
		"etc/netns/blue/iproute2/rt_tables":      "7 azure\n",
		"usr/share/iproute2/rt_tables.d/us.conf": "8 vendor\n",
		"etc/netns/file/iproute2":                "no directory",
	})
	for netns, want := range map[string]string{"": "lab", "blue": "azure", "red": "lab", "file": "lab", "/run/netns/blue": "lab", "..": "lab", ".": "lab"} {
		f.NetNS = netns
		n, err := f.Load()
		if err != nil || n.Table(7) != want || n.Table(8) != "vendor" {
			t.Errorf("%q: table 7 is %q, want %q; 8 is %q (%v)", netns, n.Table(7), want, n.Table(8), err)
		}
	}
	f.NetNS = "blue"
	if n, _ := f.Load(); n.Protocol(82) != "usr" {
		t.Errorf("protocol 82 is %q", n.Protocol(82))
	}
	if err := f.NameTable(t.Context(), 9, "teal"); err != nil || !strings.HasPrefix(f.DropIn(), "/etc/netns/blue/iproute2/") {
		t.Errorf("%s: %v", f.DropIn(), err)
	}
	if text := dropIn(t, f); !strings.HasSuffix(text, "\n9\tteal\n") {
		t.Errorf("ours: %q", text)
	}
	for netns, want := range map[string]string{"red": "as /etc/netns/red/iproute2 is not there", "/run/netns/blue": `"/run/netns/blue" has the names of the machine`} {
		f.NetNS = netns
		var shared *names.SharedError
		if err := f.NameTable(t.Context(), 9, "teal"); !errors.As(err, &shared) || !strings.Contains(err.Error(), want) || shared.Hint() == "" {
			t.Errorf("%s: %v", netns, err)
		}
	}
}

package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// host makes the root directory of a host: names that end in "/" are folders,
// "a -> b" is a link, the others are programs.
func host(t *testing.T, names ...string) (*Tree, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name, link, isLink := strings.Cut(name, " -> ")
		full := filepath.Join(dir, name)
		parent := filepath.Dir(full)
		if strings.HasSuffix(name, "/") {
			parent = full
		}
		err := os.MkdirAll(parent, 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(link, full)
		case parent != full:
			err = os.WriteFile(full, []byte("#!/bin/sh\n"), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree, dir
}

// listing is everything below a directory: names, modes, links and contents.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(p, dir) + " " + info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			link, _ := os.Readlink(p)
			line += " -> " + link
		case info.Mode().IsRegular():
			data, _ := os.ReadFile(p)
			line += " " + string(data)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// do plans and carries out, and returns what became of which file.
func do(t *testing.T, tree *Tree, want, known []File) map[string]Verb {
	t.Helper()
	p, err := tree.Plan(want, known)
	if err == nil {
		err = p.Do()
	}
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[string]Verb{}
	for _, s := range p.Steps {
		verbs[s.Path] = s.Do
	}
	return verbs
}

// everything is a host with all that can call rpdb.
func everything() []string {
	return []string{
		"var/lib/rpdb/", "run/systemd/system/", "usr/sbin/rpdb", "sbin -> usr/sbin", "usr/sbin/ifup", "etc/network/if-up.d/",
		"usr/sbin/dhclient", "etc/dhcp/dhclient-exit-hooks.d/", "usr/sbin/NetworkManager", "etc/NetworkManager/dispatcher.d/",
		"usr/bin/networkd-dispatcher", "etc/networkd-dispatcher/routable.d/", "etc/networkd-dispatcher/off.d/",
	}
}

func TestWhatHostsGet(t *testing.T) {
	units := []string{
		"/etc/systemd/system/multi-user.target.wants/rpdb-watch.service", "/etc/systemd/system/multi-user.target.wants/rpdb.service",
		"/etc/systemd/system/rpdb-watch.service", "/etc/systemd/system/rpdb.service",
	}
	for _, test := range []struct {
		name  string
		host  []string
		paths []string
	}{
		{"nothing", nil, []string{"/etc/rc.local"}},
		{"an image with systemd", []string{"usr/sbin/init -> /lib/systemd/systemd"}, units},
		{"a running systemd", []string{"run/systemd/system/"}, units},
		{"OpenRC", []string{"sbin/openrc-run", "etc/local.d/"}, []string{"/etc/local.d/rpdb.start"}},
		{"hooks of packages, without ifupdown", []string{"etc/network/if-up.d/"}, []string{"/etc/rc.local"}},
		{"ifupdown", []string{"sbin/ifup", "etc/network/if-up.d/"}, []string{"/etc/network/if-post-down.d/rpdb", "/etc/network/if-up.d/rpdb", "/etc/rc.local"}},
		{"everything", everything(), slices.Sorted(slices.Values(append(slices.Clone(units),
			"/etc/network/if-up.d/rpdb", "/etc/network/if-post-down.d/rpdb", "/etc/dhcp/dhclient-exit-hooks.d/rpdb",
			"/etc/NetworkManager/dispatcher.d/90-rpdb", "/etc/networkd-dispatcher/routable.d/rpdb", "/etc/networkd-dispatcher/off.d/rpdb", "/etc/networkd-dispatcher/configured.d/rpdb")))},
	} {
		tree, _ := host(t, test.host...)
		files := Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})
		if got := Paths(files); !slices.Equal(got, test.paths) {
			t.Errorf("%s: %q, want %q", test.name, got, test.paths)
		}
		for _, f := range files {
			if strings.Contains(f.Text, "@") && !strings.Contains(f.Text, "=@") && !strings.Contains(f.Text, "~@") {
				t.Errorf("%s: something is not filled in:\n%s", f.Path, f.Text)
			}
			if f.Link == "" && (!strings.Contains(f.Text, Marker) || !strings.Contains(f.Text, "/usr/sbin/rpdb repair")) {
				t.Errorf("%s: no marker, or no call:\n%s", f.Path, f.Text)
			}
		}
	}
}

func TestOpenRCWithoutItsLocalService(t *testing.T) {
	for want, names := range map[bool][]string{
		true:  {"sbin/openrc-run", "etc/local.d/", "etc/runlevels/default/"},
		false: {"sbin/openrc-run", "etc/local.d/", "etc/runlevels/default/local -> /etc/init.d/local"},
	} {
		if tree, _ := host(t, names...); tree.Survey().NoLocal != want {
			t.Errorf("%q: NoLocal is not %v", names, want)
		}
	}
}

func TestInstallAndTakeAway(t *testing.T) {
	tree, dir := host(t, everything()...)
	before := listing(t, dir)
	files := append([]File{PolicyFile("uplinks: []\n", "")}, Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})...)
	for path, verb := range do(t, tree, files, nil) {
		if verb != Write {
			t.Errorf("%s: %s", path, verb)
		}
	}
	installed := listing(t, dir)
	for path, verb := range do(t, tree, files, nil) {
		if verb != Keep {
			t.Errorf("again: %s: %s", path, verb)
		}
	}
	if again := listing(t, dir); again != installed {
		t.Errorf("the second time something changed:\n%s\nwas\n%s", again, installed)
	}
	if verbs := do(t, tree, nil, nil); len(verbs) != len(files) {
		t.Errorf("taken away: %v", verbs)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("left:\n%s\nwas\n%s", after, before)
	}
	if verbs := do(t, tree, nil, nil); len(verbs) != 0 {
		t.Errorf("taken away twice: %v", verbs)
	}
}

// TestUmask: networkd-dispatcher calls no hook in a folder that is not of mode
// 0755, and the policy is for everybody to read.
func TestUmask(t *testing.T) {
	tree, dir := host(t, everything()...)
	defer syscall.Umask(syscall.Umask(0o077))
	do(t, tree, append(Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), PolicyFile("one", "")), nil)
	for name, want := range map[string]fs.FileMode{
		"/etc/networkd-dispatcher/configured.d": 0o755, "/etc/networkd-dispatcher/configured.d/rpdb": 0o755,
		"/etc/rpdb": 0o755, PolicyPath: 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s: mode %04o, want %04o", name, info.Mode().Perm(), want)
		}
	}
}

func TestInstalled(t *testing.T) {
	tree, dir := host(t, append(everything(), "usr/share/man/man8/rpdb.8.gz")...)
	installed := func() Installed {
		t.Helper()
		in, err := tree.Installed()
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if in := installed(); in.Enabled || in.Watch || len(in.Programs) > 0 {
		t.Errorf("nothing is installed: %+v", in)
	}
	do(t, tree, []File{PolicyFile("one", "")}, nil)
	if in := installed(); in.Enabled {
		t.Errorf("a policy alone does not come back: %+v", in)
	}
	files := append(Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), PolicyFile("one", ""))
	do(t, tree, files, nil)
	err, called := installed().Programs["/usr/sbin/rpdb"]
	if in := installed(); !in.Enabled || !in.Watch || len(in.Missing)+len(in.Edited)+len(in.Outdated) > 0 || len(in.Programs) != 1 || !called || err != nil {
		t.Errorf("all is installed: %+v", in)
	}
	hook, unit := "/etc/network/if-up.d/rpdb", "/etc/systemd/system/"+WatchUnit
	for name, text := range map[string]string{hook: "#!/bin/sh\n# /bin/no repair\n/opt/rpdb repair\n", PolicyPath: "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{unit, "/usr/sbin/rpdb"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	in := installed()
	if !in.Enabled || in.Watch || !slices.Equal(in.Missing, []string{unit}) || !slices.Equal(in.Edited, []string{hook}) {
		t.Errorf("one is gone, and one edited: %+v", in)
	}
	for _, program := range []string{"/usr/sbin/rpdb", "/opt/rpdb"} {
		var e *ProgramError
		if !errors.As(in.Programs[program], &e) || !errors.Is(e, fs.ErrNotExist) {
			t.Errorf("%s: %v", program, in.Programs[program])
		}
	}
}

// TestOutdated: what another release has installed is known, and what a host without
// a manual got is not taken for it.
func TestOutdated(t *testing.T) {
	for _, manual := range []string{"usr/share/man/man8/rpdb.8.gz", "usr/share/man/man8/other.8.gz"} {
		tree, _ := host(t, append(everything(), manual)...)
		files := Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})
		var want []string
		for i, f := range files {
			if changed := strings.Replace(f.Text, "CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF", "CapabilityBoundingSet=CAP_NET_ADMIN", 1); changed != f.Text {
				files[i].Text, want = changed, append(want, f.Path)
			}
			if strings.HasPrefix(f.Path, dispatcherDir) {
				files[i].Text, want = strings.Replace(f.Text, "--dad 5s", "--dad 4s", 1), append(want, f.Path)
			}
		}
		do(t, tree, files, nil)
		in, err := tree.Installed()
		slices.Sort(want)
		slices.Sort(in.Outdated)
		if err != nil || len(want) < 3 || !slices.Equal(in.Outdated, want) || len(in.Edited) > 0 {
			t.Errorf("with %s: %+v, %v, want %v", manual, in, err, want)
		}
		do(t, tree, Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), nil)
		if in, err := tree.Installed(); err != nil || len(in.Outdated) > 0 {
			t.Errorf("installed once more: %+v, %v", in, err)
		}
	}
}

// TestEditedHookIsRecovered: a hook that somebody has edited outlives a removal,
// and is no stranger to what comes after it.
func TestEditedHookIsRecovered(t *testing.T) {
	tree, dir := host(t, everything()...)
	files := Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})
	hook := "/etc/network/if-up.d/rpdb"
	do(t, tree, files, nil)
	if err := os.WriteFile(filepath.Join(dir, hook), []byte("#!/bin/sh\n/usr/sbin/rpdb repair\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if verb := do(t, tree, nil, nil)[hook]; verb != Leave && verb != "" {
			t.Errorf("taken away: %q", verb)
		}
		if verb := do(t, tree, files, nil)[hook]; verb != Leave {
			t.Errorf("installed again: %q", verb)
		}
	}
	if err := os.Remove(filepath.Join(dir, hook)); err != nil {
		t.Fatal(err)
	}
	if verb := do(t, tree, files, nil)[hook]; verb != Write {
		t.Errorf("removed, and installed again: %q", verb)
	}
}

func TestAnotherVersionReplaces(t *testing.T) {
	tree, dir := host(t, everything()...)
	before := listing(t, dir)
	h := tree.Survey()
	do(t, tree, append(Files(h, Options{Program: "/usr/sbin/rpdb"}), PolicyFile("one", "")), nil)
	verbs := do(t, tree, append(Files(h, Options{Program: "/usr/local/sbin/rpdb", NoWatch: true}), PolicyFile("two", "")), nil)
	for path, want := range map[string]Verb{
		"/etc/systemd/system/rpdb.service": Replace, "/etc/systemd/system/rpdb-watch.service": Remove,
		"/etc/network/if-up.d/rpdb": Replace, PolicyPath: Replace, "/etc/systemd/system/multi-user.target.wants/rpdb.service": Keep,
	} {
		if verbs[path] != want {
			t.Errorf("%s: %q, want %q", path, verbs[path], want)
		}
	}
	do(t, tree, nil, nil)
	if after := listing(t, dir); after != before {
		t.Errorf("left:\n%s\nwas\n%s", after, before)
	}
}

func TestUpdate(t *testing.T) {
	tree, dir := host(t, everything()...)
	update := func(text string, want bool) {
		t.Helper()
		if current, err := tree.Update(PolicyFile(text, "")); err != nil || current != want {
			t.Errorf("update to %q: %v, %v", text, current, err)
		}
	}
	before := listing(t, dir)
	if tree.Enabled() {
		t.Error("nothing was installed")
	}
	update("one", false)
	if after := listing(t, dir); after != before {
		t.Errorf("something was made:\n%s", after)
	}
	do(t, tree, []File{PolicyFile("one", "")}, nil)
	if !tree.Enabled() {
		t.Error("something was installed")
	}
	update("one", true)
	update("two", true)
	if data, err := os.ReadFile(filepath.Join(dir, PolicyPath)); string(data) != "two" {
		t.Errorf("%q, %v", data, err)
	}
	do(t, tree, nil, nil)
	if after := listing(t, dir); after != before {
		t.Errorf("left:\n%s\nwas\n%s", after, before)
	}
	do(t, tree, []File{PolicyFile("one", "")}, nil)
	if err := os.WriteFile(filepath.Join(dir, PolicyPath), []byte("edited"), 0o644); err != nil {
		t.Fatal(err)
	}
	update("two", false)
	update("edited", true)
}

func TestWhatSomebodyEditedStays(t *testing.T) {
	tree, dir := host(t, everything()...)
	files := append([]File{PolicyFile("one", "")}, Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})...)
	do(t, tree, files, nil)
	unit, hook := "/etc/systemd/system/rpdb.service", "/etc/network/if-up.d/rpdb"
	write := func(path, text string) {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(unit, "[Unit]\n")
	write(PolicyPath, "edited")
	if err := os.Chmod(filepath.Join(dir, hook), 0o644); err != nil { // switched off
		t.Fatal(err)
	}
	files[0].Text = "two"
	for range 2 {
		verbs := do(t, tree, files, nil)
		for _, path := range []string{unit, hook, PolicyPath} {
			if verbs[path] != Leave {
				t.Errorf("%s: %q", path, verbs[path])
			}
		}
	}
	// The edited policy is applied and confirmed: it is the administrator's own.
	files[0].Text = "edited"
	if verbs := do(t, tree, files, nil); verbs[PolicyPath] != Keep {
		t.Errorf("the policy: %q", verbs[PolicyPath])
	}
	verbs := do(t, tree, nil, nil)
	if verbs[unit] != Leave || verbs[hook] != Leave || verbs["/etc/systemd/system/rpdb-watch.service"] != Remove {
		t.Errorf("taken away: %v", verbs)
	}
	for path, want := range map[string]string{unit: "[Unit]\n", PolicyPath: "edited"} {
		if data, err := os.ReadFile(filepath.Join(dir, path)); string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}

func TestWhatIsSomebodyElsesStays(t *testing.T) {
	tree, dir := host(t, "var/lib/rpdb/", "etc/rpdb/policy.yaml", "etc/rc.local")
	before := listing(t, dir)
	files := append([]File{PolicyFile("one", "")}, Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})...)
	verbs := do(t, tree, files, nil)
	if verbs[PolicyPath] != Leave || verbs[RCLocal] != Leave {
		t.Errorf("%v", verbs)
	}
	if tree.Calls(RCLocal, "/usr/sbin/rpdb") {
		t.Error("a script that does not call rpdb is said to")
	}
	do(t, tree, nil, files)
	if after := listing(t, dir); after != before {
		t.Errorf("left:\n%s\nwas\n%s", after, before)
	}
	text := "#!/bin/sh\n# /usr/sbin/rpdb repair\n" + RCLocalLine("/usr/sbin/rpdb") + "\n"
	if err := os.WriteFile(filepath.Join(dir, RCLocal), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if !tree.Calls(RCLocal, "/usr/sbin/rpdb") || tree.Calls(RCLocal, "/usr/local/sbin/rpdb") {
		t.Error("which program the script calls")
	}
}

func TestInTheWay(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"etc/systemd/system/rpdb.service -> /dev/null", "it is masked"},
		{"etc/systemd/system/rpdb.service -> ../rpdb.service", `a link to "../rpdb.service" is there`},
		{"etc/systemd/system/rpdb.service", "another file is there"},
		{"etc/systemd/system/rpdb.service/", "neither a file nor a link"},
		{"etc/systemd/system -> /tmp", "/etc/systemd/system: it is a symbolic link, and not followed"},
		{"etc/systemd/system", "/etc/systemd/system: it is not a folder"},
		{"var/lib/rpdb -> /tmp", "/var/lib/rpdb: it is a symbolic link"},
		{"var/lib/rpdb/enabled -> /tmp/record", "/var/lib/rpdb/enabled: it is a symbolic link"},
		{"var/lib/rpdb/enabled", "read "}, // it is not JSON
	} {
		tree, dir := host(t, "run/systemd/system/", test.name)
		before := listing(t, dir)
		_, err := tree.Plan(Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: something changed:\n%s\nwas\n%s", test.name, after, before)
		}
	}
}

func TestFoldersOfOthers(t *testing.T) {
	tree, dir := host(t, "run/systemd/system/", "etc/systemd/system/")
	if err := os.Chmod(filepath.Join(dir, "etc/systemd"), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := tree.Plan(Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), nil)
	if err == nil || !strings.Contains(err.Error(), "/etc/systemd: others can write to it: its mode is 0777") {
		t.Errorf("%v", err)
	}
}

// TestUndone has each file of a plan fail in turn, as a folder has come into its
// place: what was done before is undone.
func TestUndone(t *testing.T) {
	for i := range 8 {
		tree, dir := host(t, everything()...)
		if i%2 == 0 { // of a host that has an older version
			do(t, tree, Files(tree.Survey(), Options{Program: "/usr/local/sbin/rpdb"})[:3], nil)
		}
		p, err := tree.Plan(Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"}), nil)
		if err != nil {
			t.Fatal(err)
		}
		occupied := filepath.Join(dir, p.Steps[i].Path)
		if err := os.RemoveAll(occupied); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(occupied, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		err = p.Do()
		var e *Error
		if !errors.As(err, &e) || e.Op != "write" || strings.Contains(err.Error(), "undone") {
			t.Fatalf("%d: %v", i, err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%d: not undone:\n%s\nwas\n%s", i, after, before)
		}
	}
}

// TestInterrupted takes away what a call installed that was killed: the record
// is ahead of the files.
func TestInterrupted(t *testing.T) {
	tree, dir := host(t, everything()...)
	before := listing(t, dir)
	h := tree.Survey()
	do(t, tree, Files(h, Options{Program: "/usr/local/sbin/rpdb"}), nil)
	p, err := tree.Plan(Files(h, Options{Program: "/usr/sbin/rpdb"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.writeRecord(p.old.with(p.next)); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps[:3] {
		if err := p.step(s); err != nil {
			t.Fatal(err)
		}
	}
	for path, verb := range do(t, tree, nil, nil) {
		if verb != Remove {
			t.Errorf("%s: %q", path, verb)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("left:\n%s\nwas\n%s", after, before)
	}
}

// TestLostRecord takes away what is as this version writes it, though nobody
// knows any more that it did.
func TestLostRecord(t *testing.T) {
	tree, dir := host(t, everything()...)
	files := Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})
	do(t, tree, files, nil)
	if err := os.Remove(filepath.Join(dir, recordPath)); err != nil {
		t.Fatal(err)
	}
	for path, verb := range do(t, tree, nil, files) {
		if verb != Remove {
			t.Errorf("%s: %q", path, verb)
		}
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Path)); err == nil {
			t.Errorf("%s is left", f.Path)
		}
	}
}

// TestRecorded: a record of files that are no more is known, and so are files that
// the record has lost.
func TestRecorded(t *testing.T) {
	tree, dir := host(t, everything()...)
	want := Files(tree.Survey(), Options{Program: "/usr/sbin/rpdb"})
	recorded := func(when string, wanted bool, want []File) {
		t.Helper()
		p, err := tree.Plan(want, nil)
		if err != nil || p.Recorded() != wanted {
			t.Errorf("%s: recorded: %v, want %v; %v", when, !wanted, wanted, err)
		}
	}
	recorded("nothing", true, nil)
	recorded("before", false, want)
	do(t, tree, want, nil)
	recorded("installed", true, want)
	recorded("to be removed", false, nil)
	for _, f := range want {
		if err := os.Remove(filepath.Join(dir, f.Path)); err != nil {
			t.Fatal(err)
		}
	}
	recorded("removed by hand", false, nil)
	do(t, tree, nil, nil)
	recorded("taken away", true, nil)
	if tree.Enabled() {
		t.Error("the record is left")
	}
	do(t, tree, want, nil)
	if err := os.Remove(filepath.Join(dir, recordPath)); err != nil {
		t.Fatal(err)
	}
	recorded("the record is lost", false, want)
}

func TestCheckProgram(t *testing.T) {
	tree, dir := host(t, "usr/sbin/rpdb", "sbin -> usr/sbin", "opt/open/rpdb", "usr/sbin/text", "usr/sbin/shared", "var/tmp/rpdb", "tmp/rpdb")
	for name, mode := range map[string]fs.FileMode{"opt/open": 0o777, "usr/sbin/text": 0o644, "usr/sbin/shared": 0o777} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]string{
		"/usr/sbin/rpdb":        "",
		"/sbin/rpdb":            "",
		"/usr/sbin/gone":        "no such file",
		"/usr/sbin":             "no file that can be run",
		"/usr/sbin/text":        "no file that can be run",
		"/usr/sbin/shared":      "others can write to it",
		"/opt/open/rpdb":        "opt/open: others can write to it",
		"/tmp/rpdb":             "what is in /tmp may be gone or hidden",
		"/var/tmp/rpdb":         "what is in /var/tmp may be gone or hidden",
		"usr/sbin/rpdb":         "must be absolute",
		"/usr/sbin/../sbin/a":   "must be absolute",
		"/usr/sbin/rpdb $(a)":   "letters, digits",
		"/usr/sbin/%i":          "letters, digits",
		"/usr/sbin/rpdb\nUser=": "letters, digits",
	} {
		err := tree.CheckProgram(program)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", program, err, want)
		}
	}
}

package journal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply/journal"
)

// open opens the journal of a directory for the life of a test.
func open(t *testing.T, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, "", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func read(t *testing.T, dir string) journal.State {
	t.Helper()
	s, err := open(t, dir, journal.Options{ReadOnly: true}).Read()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noon() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// one is a record with a confirmed generation; two has another on trial.
func one() journal.State {
	return journal.State{}.Begin(journal.Entry{Time: noon(), Author: "eve", BodyHash: "a"}, journal.Pending{BootID: "b"}).Confirm()
}

func two() journal.State {
	p := journal.Pending{BootID: "b", Deadline: 5 * time.Minute, NetNS: 7}
	return one().Begin(journal.Entry{Time: noon(), Message: "second uplink", BodyHash: "c"}, p).Written()
}

// written is a directory that holds the record one, and then two.
func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	for _, s := range []journal.State{one(), two()} {
		if err := j.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "lib", "rpdb")
	if s := read(t, dir); !reflect.DeepEqual(s, journal.State{}) {
		t.Errorf("a directory that is not there: %+v", s)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made the directory: %v", err)
	}
	j := open(t, dir, journal.Options{})
	left := two().Confirm().Leaving(&journal.Remains{BootID: "b", NetNS: 7})
	for _, s := range []journal.State{one(), two(), left, left.Leaving(nil), {}} {
		if err := j.Write(s); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir); fmt.Sprintf("%+v", got.Generations) != fmt.Sprintf("%+v", s.Generations) || !reflect.DeepEqual(got.Pending, s.Pending) || !reflect.DeepEqual(got.Remains, s.Remains) {
			t.Errorf("wrote %+v, read %+v", s, got)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v, %v", info.Mode(), err)
	}
}

// TestPreviousIsTheLastSettledRecord, as it is what a damaged one is replaced
// with.
func TestPreviousIsTheLastSettledRecord(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	for _, s := range []journal.State{one(), two(), two().RollBack("not confirmed")} {
		if err := j.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "journal.previous"), filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	if s := read(t, dir); !reflect.DeepEqual(s, one()) {
		t.Errorf("kept %+v, want %+v", s, one())
	}
}

func TestStatesOfGenerations(t *testing.T) {
	words := func(s journal.State) string {
		var all []string
		for _, e := range s.Generations {
			all = append(all, fmt.Sprintf("%d %s", e.ID, e.Status))
		}
		return strings.Join(all, ", ")
	}
	s := two()
	if got := words(s); got != "1 confirmed, 2 trial" || s.Pending.Old != 1 || s.Pending.Phase != journal.Waiting {
		t.Errorf("on trial: %s, %+v", got, s.Pending)
	}
	if got := words(s.RollBack("too late")); got != "1 confirmed, 2 rolled back" {
		t.Errorf("rolled back: %s", got)
	}
	if got := words(s.Confirm()); got != "1 superseded, 2 confirmed" {
		t.Errorf("confirmed: %s", got)
	}
	third := s.RollBack("x").Begin(journal.Entry{}, journal.Pending{}).Confirm()
	if got := words(third); got != "1 superseded, 2 rolled back, 3 confirmed" {
		t.Errorf("third: %s", got)
	}
	if e, ok := third.Back(1); !ok || e.ID != 1 {
		t.Errorf("one back from 3, past what was rolled back: %d", e.ID)
	}
	if _, ok := third.Back(2); ok {
		t.Error("there is nothing before the first")
	}
}

// TestTheConfirmedGenerationIsKept, however many were tried after it.
func TestTheConfirmedGenerationIsKept(t *testing.T) {
	s := one()
	for range 300 {
		s = s.Begin(journal.Entry{}, journal.Pending{}).RollBack("no")
	}
	if e, ok := s.Confirmed(); !ok || e.ID != 1 {
		t.Errorf("confirmed: %v, %v", e, ok)
	}
	for range 300 {
		s = s.Begin(journal.Entry{}, journal.Pending{}).Confirm()
	}
	if e, ok := s.Confirmed(); !ok || e.ID != 601 || len(s.Generations) != 100 {
		t.Errorf("confirmed %d of %d kept", e.ID, len(s.Generations))
	}
}

func body() journal.Body {
	return journal.Body{
		Policy: "rules: []\n", File: "policy.yaml", Links: map[rpdb.LinkIndex]rpdb.LinkName{3: "eth1"},
		Desired: rpdb.Desired{
			Rules: []rpdb.DesiredRule{{Name: "x", Pinned: true, Rule: rpdb.Rule{
				Family: rpdb.IPv4, Priority: 20000, Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(100),
				Selector: rpdb.Selector{From: netip.MustParsePrefix("192.0.2.0/24"), Mark: rpdb.Mark{Value: 1, Mask: 255}},
			}}},
			Routes: []rpdb.DesiredRoute{{Name: "y", Route: rpdb.Route{
				Family: rpdb.IPv6, Table: 100, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
				Dst: netip.MustParsePrefix("::/0"), Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("2001:db8::1"), Link: 3}},
			}}},
			Tables:  []rpdb.DesiredTable{{ID: 100, Name: "vpn"}},
			Waiting: []rpdb.Waiting{{Name: "uplink ppp0", Reason: "it does not exist", Family: rpdb.IPv4}},
		},
	}
}

func TestBody(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	sum, err := j.WriteBody(7, body())
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Body(journal.Entry{ID: 7, BodyHash: sum})
	if err != nil || !reflect.DeepEqual(got, body()) {
		t.Errorf("read %+v, %v", got, err)
	}
	if _, err := j.Body(journal.Entry{ID: 7, BodyHash: strings.Repeat("0", 64)}); !journal.Damaged(err) {
		t.Errorf("another generation's file: %v", err)
	}
	j.Prune(journal.State{})
	if _, err := j.Body(journal.Entry{ID: 7, BodyHash: sum}); err != nil {
		t.Errorf("gone, though there is no record yet: %v", err)
	}
	j.Prune(one())
	if _, err := j.Body(journal.Entry{ID: 7, BodyHash: sum}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not in the record, and still there: %v", err)
	}
}

// TestRemovedRecord leaves the numbers that were given.
func TestRemovedRecord(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	for _, id := range []uint64{2, 11, 9} {
		if _, err := j.WriteBody(id, body()); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := j.Read(); err != nil || !reflect.DeepEqual(s, journal.State{Next: 11}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s := read(t, dir).Begin(journal.Entry{}, journal.Pending{}); s.Generations[0].ID != 12 {
		t.Errorf("the next one is number %d", s.Generations[0].ID)
	}
}

// refused wants a record not to be read, with something that can be done.
func refused(t *testing.T, j *journal.Journal, what string) {
	t.Helper()
	s, err := j.Read()
	var e *journal.Error
	switch {
	case err == nil:
		t.Errorf("%s: read as %+v", what, s)
	case !errors.As(err, &e) || e.Hint() == "" || !journal.Damaged(err):
		t.Errorf("%s: %v", what, err)
	case !reflect.DeepEqual(s, journal.State{}):
		t.Errorf("%s: refused and half believed: %+v", what, s)
	}
}

// TestTruncatedRecord is cut at every byte (D1).
func TestTruncatedRecord(t *testing.T) {
	dir := written(t)
	j, file := open(t, dir, journal.Options{ReadOnly: true}), filepath.Join(dir, "journal")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, j, fmt.Sprintf("the first %d bytes", n))
	}
	for _, more := range []string{"\n", " ", string(whole)} {
		if err := os.WriteFile(file, append(slices.Clone(whole), more...), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, j, fmt.Sprintf("%d bytes more", len(more)))
	}
}

// TestFlippedBits flips every bit of a record (D2).
func TestFlippedBits(t *testing.T) {
	dir := written(t)
	j, file := open(t, dir, journal.Options{ReadOnly: true}), filepath.Join(dir, "journal")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, good := range whole {
		for bit := range 8 {
			if _, err := f.WriteAt([]byte{good ^ 1<<bit}, int64(i)); err != nil {
				t.Fatal(err)
			}
			refused(t, j, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
		if _, err := f.WriteAt([]byte{good}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if s := read(t, dir); !reflect.DeepEqual(s, two()) {
		t.Errorf("with all bits as they were: %+v", s)
	}
}

// TestNewerVersion has a checksum that fits (C10).
func TestNewerVersion(t *testing.T) {
	dir := t.TempDir()
	sum := sha256.Sum256([]byte("rpdb-journal 2\n{}"))
	newer := fmt.Sprintf("rpdb-journal 2 %x\n{}\n", sum)
	if err := os.WriteFile(filepath.Join(dir, "journal"), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, dir, journal.Options{}).Read()
	if err == nil || !strings.Contains(err.Error(), "it is of version 2, and this program knows 1") {
		t.Errorf("got %v", err)
	}
}

// TestPlanted puts something of somebody else where each file goes (D8, D9).
func TestPlanted(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	plants := map[string]struct {
		plant func(file string) error
		want  string
	}{
		"symbolic link": {func(f string) error { return os.Symlink(elsewhere, f) }, "it is a symbolic link"},
		"hard link":     {func(f string) error { return os.Link(elsewhere, f) }, "names: somebody linked it"},
		"fifo":          {func(f string) error { return syscall.Mkfifo(f, 0o600) }, "it is a FIFO"},
		"directory":     {func(f string) error { return os.Mkdir(f, 0o700) }, "it is a directory"},
		"open file": {func(f string) error {
			if err := os.WriteFile(f, nil, 0o600); err != nil {
				return err
			}
			return os.Chmod(f, 0o666) // whatever the umask is
		}, "others can write to it: its mode is 0666"},
	}
	for name, p := range plants {
		for _, file := range []string{"journal", "lock", "generation-1"} {
			dir := t.TempDir()
			if err := p.plant(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir, journal.Options{})
			var err error
			switch file {
			case "journal":
				_, err = j.Read()
			case "lock":
				_, err = j.Lock(t.Context(), 0)
			default:
				_, err = j.Body(journal.Entry{ID: 1})
			}
			if err == nil || !strings.Contains(err.Error(), p.want) {
				t.Errorf("%s at %s: %v", name, file, err)
			}
		}
	}
	if data, err := os.ReadFile(elsewhere); err != nil || string(data) != "x" {
		t.Errorf("what the links led to is %q now, %v", data, err)
	}
}

func TestDirectoryOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Open(dir, "", journal.Options{})
	if err == nil || !strings.Contains(err.Error(), "others can write to it: its mode is 0777") {
		t.Errorf("world-writable: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(link, "", journal.Options{}); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("symbolic link: %v", err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "netns")); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(dir, "netns/blue", journal.Options{}); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("symbolic link inside: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, journal.Options{}), open(t, dir, journal.Options{})
	unlock, err := a.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Lock(t.Context(), 0)
	var locked *journal.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Lock(ended, time.Minute); !errors.Is(err, context.Canceled) || errors.As(err, &locked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("interrupted: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, unlock)
	second, err := b.Lock(t.Context(), time.Minute)
	if err != nil {
		t.Fatalf("after waiting: %v", err)
	}
	second()
}

// faultAt calls f before the operations that come n-th and later, and counts
// them.
type faultAt struct {
	n, calls int
	fault    func(journal.Call) error
}

func (f *faultAt) hook(c journal.Call) error {
	f.calls++
	if f.calls == f.n {
		return f.fault(c)
	}
	return nil
}

// TestEveryCallFails once while a record is replaced (D3, D4, D6): the record is
// the old or the new one, whole, and the new one if Write said so. The next
// write is in nothing disturbed.
func TestEveryCallFails(t *testing.T) {
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EPERM, syscall.EINTR, syscall.EROFS}
	for n := 1; ; n++ {
		errno := errnos[n%len(errnos)]
		dir := t.TempDir()
		if err := open(t, dir, journal.Options{}).Write(one()); err != nil {
			t.Fatal(err)
		}
		fault := &faultAt{fault: func(journal.Call) error { return errno }}
		j := open(t, dir, journal.Options{Fault: fault.hook})
		if _, err := j.Read(); err != nil {
			t.Fatal(err)
		}
		fault.n = fault.calls + n
		err := j.Write(two())
		if fault.calls < fault.n {
			if n < 15 {
				t.Fatalf("a write has %d calls only", n)
			}
			return
		}
		got := read(t, dir)
		isNew := reflect.DeepEqual(got, two())
		if !isNew && (err == nil || !reflect.DeepEqual(got, one())) {
			t.Errorf("call %d %v: %v, and the record is %+v", n, errno, err, got)
		}
		if err := j.Write(two()); err != nil || !reflect.DeepEqual(read(t, dir), two()) {
			t.Errorf("call %d %v: the write after: %v", n, errno, err)
		}
		if names := list(t, dir); !slices.Equal(names, []string{"journal", "journal.previous", "reserve"}) {
			t.Errorf("call %d %v: left over: %q", n, errno, names)
		}
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// platter is what is on disk if the power goes: the contents that were synced,
// under the names that the directory had when it was synced.
type platter struct {
	dir    string
	synced map[string][]byte // by name, what sync made last
	names  map[string][]byte // the directory
}

func (p *platter) hook(c journal.Call) error {
	if !c.Done {
		return nil
	}
	switch c.Op {
	case "sync":
		p.synced[c.Name], _ = os.ReadFile(filepath.Join(p.dir, c.Name))
	case "rename":
		p.synced[c.Name] = p.synced[c.Name+".tmp"]
	case "sync directory":
		p.names = maps.Clone(p.synced)
	}
	return nil
}

// TestPowerLoss stops at every call of a write, and goes on with all that was
// written or with what was synced only (D6, E6).
func TestPowerLoss(t *testing.T) {
	type powerLoss struct{}
	for n := 1; ; n++ {
		dir := t.TempDir()
		p := &platter{dir: dir, synced: map[string][]byte{}}
		stop := &faultAt{fault: func(journal.Call) error { panic(powerLoss{}) }}
		j := open(t, dir, journal.Options{Fault: func(c journal.Call) error {
			_ = p.hook(c)
			return stop.hook(c)
		}})
		if err := j.Write(one()); err != nil {
			t.Fatal(err)
		}
		stop.n = stop.calls + n
		stopped := func() (stopped bool) {
			defer func() { _, stopped = recover().(powerLoss) }()
			if err := j.Write(two()); err != nil {
				t.Error(err)
			}
			return false
		}()
		after := t.TempDir()
		for name, data := range p.names {
			if err := os.WriteFile(filepath.Join(after, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for what, d := range map[string]string{"all": dir, "what was synced": after} {
			got := read(t, d)
			if !reflect.DeepEqual(got, two()) && (!stopped || !reflect.DeepEqual(got, one())) {
				t.Errorf("call %d, with %s: %+v", n, what, got)
			}
		}
		if !stopped {
			return
		}
	}
}

// TestRandomBytes are refused, whatever they begin with.
func TestRandomBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := written(t)
	j, file := open(t, dir, journal.Options{ReadOnly: true}), filepath.Join(dir, "journal")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		bad := slices.Clone(whole[:rng.IntN(len(whole))])
		for range rng.IntN(100) {
			bad = append(bad, byte(rng.IntN(256)))
		}
		if bytes.Equal(bad, whole) {
			continue
		}
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, j, fmt.Sprintf("%q", bad))
	}
}

// TestLogging: the file of a guard is locked as long as somebody has it open, and
// whoever asks takes nothing away.
func TestLogging(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	asking, err := journal.Open(dir, "", journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if asking.Logging() {
		t.Error("a guard is there, and the directory is not")
	}
	j, err := journal.Open(dir, "", journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if asking, err = journal.Open(dir, "", journal.Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	if asking.Logging() {
		t.Error("a guard is there, and no log")
	}
	first, err := j.Log()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !asking.Logging() || !j.Logging() {
			t.Error("no guard is there")
		}
	}
	second, err := j.Log() // of a later one
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if !asking.Logging() {
		t.Error("the later guard is not there")
	}
	second.Close()
	if asking.Logging() {
		t.Error("a guard is there that ended")
	}
}

// TestLogWhileAsked: whoever asks at the moment at which the file is made does not
// keep a guard from having it.
func TestLogWhileAsked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	asked := false
	ask := func(c journal.Call) error {
		if c.Op != "create" || !c.Done {
			return nil
		}
		f, err := os.Open(filepath.Join(dir, c.Name))
		if err != nil {
			return err
		}
		asked = true
		time.AfterFunc(50*time.Millisecond, func() { f.Close() })
		return syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
	}
	j, err := journal.Open(dir, "", journal.Options{Fault: ask})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	log, err := j.Log()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if !asked || !j.Logging() {
		t.Error("nobody has asked, or the guard is not there")
	}
}

// objects calls visit with each object of a value that JSON was read into.
func objects(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			objects(v[name], visit)
		}
	case []any:
		for _, v := range v {
			objects(v, visit)
		}
	}
}

// TestNewerFields: what a newer rpdb has written and this one does not know is neither
// passed over nor taken for damage, wherever it stands. The version has not risen.
func TestNewerFields(t *testing.T) {
	b := body()
	b.Owed = []journal.Owed{{By: 3, Adopted: journal.Adopted{Rules: rpdb.DefaultRules(rpdb.IPv4)}}}
	b.Changes = []rpdb.Change{rpdb.RuleChange(rpdb.Add, rpdb.Rule{Family: rpdb.IPv6, Action: rpdb.Goto(7)})}
	state := two().Leaving(&journal.Remains{BootID: "b"})
	for file, c := range map[string]struct {
		kind string
		v    any
	}{"journal": {"rpdb-journal", state}, "generation-7": {"rpdb-generation", b}} {
		plain, err := json.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		j := open(t, dir, journal.Options{})
		refused := func(text []byte) {
			t.Helper()
			sum := fmt.Sprintf("%x", sha256.Sum256(append([]byte(c.kind+" 1\n"), text...)))
			if err := os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, "%s 1 %s\n%s\n", c.kind, sum, text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := j.Read()
			if file != "journal" {
				_, err = j.Body(journal.Entry{ID: 7, BodyHash: sum})
			}
			var e *journal.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "written by another version of rpdb") || !strings.Contains(e.Hint(), "use the newer rpdb") {
				t.Errorf("%v, for %s", err, text)
			}
		}
		count := func(until int) (n int, text []byte) {
			var v any
			if err := json.Unmarshal(plain, &v); err != nil {
				t.Fatal(err)
			}
			objects(v, func(o map[string]any) {
				if n++; n == until {
					o["newer"] = true
				}
			})
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return n, text
		}
		all, _ := count(0)
		for i := range all {
			_, text := count(i + 1)
			refused(text)
		}
		if all < 5 {
			t.Errorf("%s: only %d objects", file, all)
		}
		if file == "journal" {
			refused(bytes.Replace(plain, []byte(`"phase":"waiting"`), []byte(`"phase":"resting"`), 1))
			refused(bytes.Replace(plain, []byte(`"status":"confirmed"`), []byte(`"status":"eternal"`), 1))
		}
	}
}

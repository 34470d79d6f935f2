package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/kernel"
	"rpdb/policy"
)

// call runs one command line on what stands in a snapshot file.
func call(t *testing.T, s *rpdb.Snapshot, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if s != nil {
		data, err := json.Marshal(showDocument{Version: 1, Snapshot: s})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "host.json")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--snapshot", file)
	}
	var out, errs strings.Builder
	code = Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// TestCheckThatCannotBeMade has a code of its own: 1 says that the host is
// wrong.
func TestCheckThatCannotBeMade(t *testing.T) {
	for _, args := range [][]string{
		{"check", "word"},
		{"check", "--nonsense"},
		{"check", "--to", "nowhere"},
		{"check", "--to", "192.0.2.1,198.51.100.1"},
		{"check", "--snapshot", "/nonexistent"},
		{"check", "--snapshot", ""},
		{"check", "--netns", ""},
	} {
		if code, out, errs := call(t, nil, args...); code != exitTrouble || out != "" || !strings.HasPrefix(errs, "rpdb: ") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, out, errs)
		}
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	s := &rpdb.Snapshot{Rules: append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)}
	for _, command := range []string{"show", "check"} {
		_, out, errs := call(t, s, command, "--json")
		for _, list := range []string{"findings", "doors"} {
			if strings.Contains(out, fmt.Sprintf("%q: null", list)) {
				t.Errorf("%s: %s is null\n%s", command, list, errs)
			}
		}
	}
}

func TestSnapshotOfAnotherVersionIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host.json")
	if err := os.WriteFile(file, []byte(`{"version": 2, "snapshot": {}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := call(t, nil, "show", "--snapshot", file); code != exitFailed || !strings.Contains(errs, "version 2") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// TestHintsFitTheError: a file that may not be read is no matter of
// CAP_NET_ADMIN.
func TestHintsFitTheError(t *testing.T) {
	for _, errno := range []error{syscall.EACCES, syscall.EPERM} {
		file := &fs.PathError{Op: "open", Path: "policy.yaml", Err: errno}
		if got := hints(file); len(got) != 1 || strings.Contains(got[0], "CAP_NET_ADMIN") {
			t.Errorf("file: %q", got)
		}
	}
	if got := hints(fmt.Errorf("add rule: %w", syscall.EPERM)); len(got) != 1 || !strings.Contains(got[0], "CAP_NET_ADMIN") {
		t.Errorf("rule: %q", got)
	}
	elsewhere := &kernel.OpError{Op: "open", Object: "connection to the kernel", Err: syscall.EPERM}
	if got := hints(elsewhere); len(got) != 1 || !strings.Contains(got[0], "CAP_SYS_ADMIN") {
		t.Errorf("namespace: %q", got)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnswerThatCannotBeWrittenIsAnError(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help", "plan"}, {"check", "--help"}} {
		var errs strings.Builder
		if code := Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: full{}, Err: &errs}); code != exitFailed {
			t.Errorf("%q: exit code %d, %s", args, code, errs.String())
		}
	}
}

// TestWaitingForInputEndsWithTheContext: Ctrl-C at "rpdb plan -" on a terminal.
func TestWaitingForInputEndsWithTheContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := io.ReadAll(untilEnd(ctx, r)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	text, err := io.ReadAll(untilEnd(t.Context(), strings.NewReader("uplinks: []")))
	if string(text) != "uplinks: []" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

// TestCureIsAPolicy: whatever the interface is called.
func TestCureIsAPolicy(t *testing.T) {
	for _, name := range []string{"eth0", "wan", "no", "123", "0x10", "a,b", "{x}", "#1", "a'b", `a"b`, "\x1b[31m", "~", "-", "e\u00e9"} {
		text := fmt.Sprintf("uplinks:\n  - {interface: %s, gateways: [\"192.0.2.1\"]}\n", policy.Word(name))
		doc, err := policy.Parse("cure.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := string(doc.Uplinks[0].Interface); got != name {
			t.Errorf("%q is read as %q", name, got)
		}
	}
	if got := policy.Word("eth0.100"); got != "eth0.100" {
		t.Errorf("%s", got)
	}
}

// TestManyRulesThatLookAtAMark are not all listed, nor compared one by one.
func TestManyRulesThatLookAtAMark(t *testing.T) {
	s := &rpdb.Snapshot{Rules: rpdb.DefaultRules(rpdb.IPv4)[:1]}
	for i := range 5000 {
		s.Rules = append(s.Rules, rpdb.Rule{
			Family: rpdb.IPv4, Priority: rpdb.Priority(1 + i), Action: rpdb.ToTable(254),
			Selector: rpdb.Selector{Mark: rpdb.Mark{Value: uint32(i), Mask: ^uint32(0)}},
		})
	}
	_, out, errs := call(t, s, "explain", "192.0.2.1")
	_, assumed, _ := strings.Cut(out, "assumed:")
	if len(assumed) > 1000 || !strings.Contains(assumed, "4,990 more") {
		t.Errorf("%d bytes, %s", len(assumed), errs)
	}
}

package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel"
	"rpdb/policy"
)

// defaultStateDir is where generations are kept, below the root.
const defaultStateDir = "/var/lib/rpdb"

// stateFlag adds the option that keeps the generations elsewhere.
func (a *app) stateFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.stateDir, "state-dir", "", "keep the generations of the namespace in `DIR` (default "+defaultStateDir+", in a directory for each namespace)")
}

// usualWait is how long another writer is waited for. Who repairs after an event,
// as the service of "rpdb enable" and the hooks do, needs a moment for it: nobody
// else is to fail because of that.
const usualWait = 5 * time.Second

// waitFlag adds the option that waits for another writer.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.wait, "wait", usualWait, "wait at most `TIME` for another rpdb that is changing this namespace")
}

// site is a network namespace and what is recorded of it.
type site struct {
	conn    *kernel.Conn
	journal *journal.Journal
	app     *app
	netns   uint64
	changes bool // whether this is to change something, not to look alone
}

// openSite opens the namespace that was asked for, and its state directory.
func (a *app) openSite(readOnly bool) (*site, error) {
	conn, err := a.open()
	if err != nil {
		return nil, err
	}
	s := &site{conn: conn, app: a, changes: !readOnly}
	if s.netns, err = inode(conn.NetNS()); err == nil {
		s.journal, err = a.openJournal(s.netns, readOnly)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// openJournal opens the state directory of a namespace.
func (a *app) openJournal(netns uint64, readOnly bool) (*journal.Journal, error) {
	dir, below := a.stateDir, ""
	if dir == "" {
		dir = filepath.Join("/", a.root, defaultStateDir)
		var err error
		if below, err = a.namespaceKey(netns); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir) // as a guard works elsewhere
	if err != nil {
		return nil, err
	}
	return journal.Open(dir, below, journal.Options{ReadOnly: readOnly})
}

// kernel is the door to everything that a policy changes here.
func (s *site) kernel() apply.Kernel {
	if s.changes {
		return changingDoors{hostDoors{s.conn}}
	}
	return hostDoors{s.conn}
}

func (s *site) close() {
	s.journal.Close()
	s.conn.Close()
}

// inode is the number of a namespace, for as long as it lives.
func inode(ns *kernel.NetNS) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(ns.FD(), &st); err != nil {
		return 0, fmt.Errorf("identify the network namespace: %w", err)
	}
	return st.Ino, nil
}

// namespaceKey is the directory of a namespace below the state directory: none
// for the machine's own; else by its name, however it was entered; and one that
// nobody can find again after a boot where it has none.
func (a *app) namespaceKey(netns uint64) (string, error) {
	var st unix.Stat_t
	switch name, found := namespaceName(netns); {
	case found && name != "":
		return filepath.Join("netns", name), nil
	case found || a.netns == "" && unix.Stat("/proc/1/ns/net", &st) != nil: // it cannot be told
		return "", nil
	}
	boot, _, err := journal.Host{}.Boot()
	if err != nil {
		return "", err
	}
	return filepath.Join("unnamed", fmt.Sprintf("%d-%.8s", netns, boot)), nil
}

// config is what the sessions of a site stand on.
func (s *site) config() apply.Config {
	return apply.Config{
		Kernel: s.kernel(), Journal: s.journal, Machine: journal.Host{}, NetNS: s.netns, Wait: s.app.wait,
		Chosen: s.app.stateDir != "", Ended: s.trialEnded,
		Resolve: func(b journal.Body, host *rpdb.Snapshot) (rpdb.Desired, error) {
			doc, err := policy.Parse(b.File, []byte(b.Policy))
			if err != nil {
				return rpdb.Desired{}, err
			}
			return doc.ResolveInForce(host, s.app.loadNames())
		},
	}
}

// begin begins a session, and says what it had to end.
func (s *site) begin(ctx context.Context) (*apply.Session, error) {
	session, err := apply.Begin(ctx, s.config())
	if err != nil {
		return nil, err
	}
	if r := session.Recovered(); r != nil {
		s.app.note("%s", recoveredText(r))
	}
	return session, nil
}

// note says something that the answer does not hold.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.Err, "note: %s\n", safe(fmt.Sprintf(format, args...)))
}

func recoveredText(r *apply.Recovered) string {
	return fmt.Sprintf("generation %d was rolled back: %s (%d %s)", r.Entry.ID, r.Entry.Why,
		len(r.Result.Done), plural(len(r.Result.Done), "message", "messages"))
}

// author is who a generation is by: whoever called sudo, or the user.
func author() string {
	uid := os.Getuid()
	if name := os.Getenv("SUDO_USER"); name != "" && uid == 0 {
		return name
	}
	if uid == 0 {
		return "root"
	}
	return fmt.Sprintf("user %d", uid)
}

// callAgain is how rpdb is called for the same namespace and state directory.
func (a *app) callAgain(words ...string) string {
	line := []string{"rpdb"}
	if a.netns != "" {
		line = append(line, "-n", safe(a.netns))
	}
	line = append(line, words...)
	if a.stateDir != "" {
		line = append(line, "--state-dir", safe(a.stateDir))
	}
	return strings.Join(line, " ")
}

// generationID reads the id of a generation.
func generationID(word string) (uint64, error) {
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil || id == 0 {
		return 0, &usageError{fmt.Sprintf("%q is not the number of a generation", word), `see "rpdb history"`}
	}
	return id, nil
}

// clock is a time of day, with the day where that is another.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

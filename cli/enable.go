package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"rpdb/apply/journal"
	"rpdb/boot"
	"rpdb/kernel"
)

// enableOptions are the options of enable and disable.
type enableOptions struct {
	at, program string
	dryRun      bool
	noWatch     bool
}

func (a *app) enableCommand() *cobra.Command {
	var o enableOptions
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "make what was applied last: at boot, when links come up, when addresses change",
		Long: `enable installs what brings the confirmed generation back: a service of systemd
that repairs at boot, before the network is up, one that repairs with each change
that the kernel tells of, and a hook for each of ifupdown, dhclient, NetworkManager
and networkd-dispatcher that is installed, so that ifup returns when rules and
routes are right. Without systemd it is a script of OpenRC's local service, or
/etc/rc.local. The confirmed policy is written to /etc/rpdb/policy.yaml, for people:
what comes back is the generation on record, never one that was not confirmed.

Every file is printed: + is written, ~ replaced, - removed, = there already, ! left
as it is, as somebody edited it or it is not ours. No file of another package is
edited. Run again it changes nothing, unless a policy was confirmed since, or
another of those programs was installed.

Exit codes: 0 done; 1 an error: nothing is changed.`,
		Example: "  rpdb enable --dry-run\n  rpdb enable",
		Args:    noWords,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.enable(cmd.Context(), o, true) },
	}
	cmd.Flags().StringVar(&o.program, "program", "", "call `FILE` at boot, as it is called below the root (default: this program)")
	cmd.Flags().BoolVar(&o.noWatch, "no-watch", false, "without the service that stays and waits for changes: hooks alone")
	a.enableFlags(cmd, &o)
	return cmd
}

func (a *app) disableCommand() *cobra.Command {
	var o enableOptions
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "take away what \"rpdb enable\" has installed, and nothing else",
		Long: `disable removes the files that enable has installed, if they are as they were
installed, and stops its services. A file that somebody has edited since is left,
and named. Rules and routes stay as they are until the machine boots; "rpdb remove"
takes them away. The record of what was applied, in /var/lib/rpdb, stays in any
case: it is what history and rollback read, and by it rpdb knows its own rules. Where
nothing is applied any more the directory may be removed by hand.

Exit codes: 0 done; 1 an error: nothing is changed.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.enable(cmd.Context(), o, false) },
	}
	a.enableFlags(cmd, &o)
	return cmd
}

func (a *app) enableFlags(cmd *cobra.Command, o *enableOptions) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().StringVar(&o.at, "root", "", "work on the host whose root directory is `DIR`, as for an image or a package")
	a.waitFlag(cmd)
}

// enabling is one call of enable or disable.
type enabling struct {
	*app
	enableOptions
	tree    *boot.Tree
	host    boot.Host
	journal *journal.Journal
	doc     enableDocument
}

// enableDocument is the JSON of enable and disable.
type enableDocument struct {
	Version int  `json:"version"`
	DryRun  bool `json:"dry_run"`
	// Generation is the one that will be in force after a boot, 0 for none.
	Generation uint64       `json:"generation"`
	Files      []enableFile `json:"files"`
	// Notes say what else there is to know, or to do by hand.
	Notes []string `json:"notes"`

	changes int
}

// enableFile is what becomes of one file.
type enableFile struct {
	Path string    `json:"path"`
	Do   boot.Verb `json:"do"`
	// Why says why a file is left, What what it is for.
	Why  string `json:"why,omitzero"`
	What string `json:"what,omitzero"`
}

func (a *app) enable(ctx context.Context, o enableOptions, on bool) error {
	e := &enabling{app: a, enableOptions: o, doc: enableDocument{Version: 1, DryRun: o.dryRun, Notes: []string{}}}
	end, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	var program string
	var want, known []boot.File
	if on {
		if program, err = e.findProgram(); err != nil {
			return err
		}
		want = boot.Files(e.host, boot.Options{Program: program, NoWatch: e.noWatch})
		if want, err = e.withPolicy(want); err != nil {
			return err
		}
	} else if program, err = ownPath(); err == nil {
		known = boot.Files(e.host, boot.Options{Program: program})
	}
	p, err := e.tree.Plan(want, known)
	if err != nil {
		return err
	}
	if err := e.carryOut(ctx, p, on); err != nil {
		return err
	}
	e.describe(p)
	if on {
		e.advise(p, program)
	} else if err := e.adviseOff(); err != nil {
		return err
	}
	return e.view(on)
}

// open opens the host, and the record of its own namespace, which is locked
// unless nothing is to be changed.
func (e *enabling) open(ctx context.Context) (end func(), err error) {
	if e.netns != "" {
		return nil, &usageError{"--netns: what comes at boot is the machine's own network namespace", "in a container, call rpdb there"}
	}
	dir := e.at
	if dir == "" {
		dir = filepath.Join("/", e.app.root)
		if err := e.ownNamespace(); err != nil {
			return nil, err
		}
	}
	if e.tree, err = boot.OpenTree(dir); err != nil {
		return nil, err
	}
	e.host = e.tree.Survey()
	state, err := filepath.Abs(filepath.Join(dir, defaultStateDir))
	if err == nil {
		e.journal, err = journal.Open(state, "", journal.Options{ReadOnly: e.dryRun})
	}
	if err != nil {
		e.tree.Close()
		return nil, withoutStateDir(err)
	}
	unlock := func() {}
	if !e.dryRun {
		if unlock, err = e.journal.Lock(ctx, e.wait); err != nil {
			unlock = func() {}
		}
	}
	end = func() {
		unlock()
		e.journal.Close()
		e.tree.Close()
	}
	if err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// withoutStateDir is an error about the state directory where there is no option
// that names another: what is enabled is what stands in that of the host.
func withoutStateDir(err error) error {
	var e *journal.Error
	if !errors.As(err, &e) {
		return err
	}
	return &boot.Error{Op: e.Op, Path: e.Path, Err: e.Err}
}

// ownNamespace refuses a namespace that is not the one that comes at boot.
func (e *enabling) ownNamespace() error {
	if e.app.root != "" {
		return nil
	}
	ns, err := kernel.OpenNetNS("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer ns.Close()
	number, err := inode(ns)
	if err != nil {
		return err
	}
	if key, err := e.namespaceKey(number); err != nil || key != "" {
		return errors.Join(err, errors.New("this is not the machine's own network namespace, which is what comes at boot"))
	}
	return nil
}

// findProgram returns the path of the rpdb that is to be called.
func (e *enabling) findProgram() (string, error) {
	program := e.program
	if program == "" {
		var err error
		if program, err = ownPath(); err != nil {
			return "", err
		}
	}
	return program, e.tree.CheckProgram(program)
}

// ownPath is where this program is, whatever link it was called by.
func ownPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(self)
}

// withPolicy adds the file of the confirmed policy.
func (e *enabling) withPolicy(files []boot.File) ([]boot.File, error) {
	state, err := e.journal.Read()
	if err != nil {
		return nil, err
	}
	if p := state.Pending; p != nil {
		e.note("generation %d is on trial: until it is confirmed it is gone after a boot", p.ID)
	}
	entry, ok := state.Confirmed()
	if !ok {
		e.note("no generation is confirmed yet: until then nothing is done at boot")
		return files, nil
	}
	e.doc.Generation = entry.ID
	body, err := e.journal.Body(entry)
	if err != nil {
		return nil, err
	}
	if body.Policy == "" {
		e.note("generation %d is one of no policy, as everything was removed", entry.ID)
		return files, nil
	}
	return append([]boot.File{boot.PolicyFile(body.Policy, fmt.Sprintf("generation %d", entry.ID))}, files...), nil
}

func (e *enabling) note(format string, args ...any) {
	e.doc.Notes = append(e.doc.Notes, fmt.Sprintf(format, args...))
}

// carryOut does what is planned, unless it is only to be said, and tells a
// running systemd.
func (e *enabling) carryOut(ctx context.Context, p *boot.Plan, on bool) error {
	e.doc.changes = p.Changes()
	if e.dryRun || e.doc.changes == 0 && p.Recorded() {
		return nil
	}
	gone, there := units(p)
	live := e.at == "" && e.app.root == "" && e.host.Running && e.doc.changes > 0 && len(gone)+len(there) > 0
	if live && len(gone) > 0 {
		e.systemctl(ctx, append([]string{"--no-block", "stop"}, gone...)...)
	}
	if err := p.Do(); err != nil {
		return err
	}
	if live {
		e.systemctl(ctx, "daemon-reload")
	}
	if live && on && len(there) > 0 {
		e.systemctl(ctx, append([]string{"--no-block", "restart"}, there...)...)
	}
	return nil
}

// units names the services that a plan removes, and those that it installs or
// finds.
func units(p *boot.Plan) (gone, there []string) {
	for _, s := range p.Steps {
		name := filepath.Base(s.Path)
		list := &there
		if s.Do == boot.Remove {
			list = &gone
		}
		if (name == boot.BootUnit || name == boot.WatchUnit) && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	return gone, there
}

// describe says what became of each file.
func (e *enabling) describe(p *boot.Plan) {
	for _, s := range p.Steps {
		e.doc.Files = append(e.doc.Files, enableFile{s.Path, s.Do, s.Why, s.What})
	}
}

// adviseOff says what is left, and why.
func (e *enabling) adviseOff() error {
	state, err := e.journal.Read()
	if err != nil {
		return err
	}
	if len(state.Generations) > 0 {
		e.note("the record of what was applied stays in %s, as rules and routes do: history and rollback read it, and by it rpdb knows what is its own", defaultStateDir)
	}
	return nil
}

// advise says what a file alone does not do.
func (e *enabling) advise(p *boot.Plan, program string) {
	for _, s := range p.Steps {
		switch {
		case s.Do != boot.Leave:
		case s.Path == boot.PolicyPath:
			e.note("%s is not the confirmed policy, and is left: generation %d is what comes at boot. \"rpdb apply %s\" makes it that file, \"rpdb history show %d --policy\" prints the other", s.Path, e.doc.Generation, s.Path, e.doc.Generation)
		case s.Path == boot.RCLocal && e.tree.Calls(boot.RCLocal, program):
		case s.Path == boot.RCLocal:
			e.note("%s is not edited; add this line to it, before it exits:\n%s", s.Path, boot.RCLocalLine(program))
		default:
			e.note("%s is left as it was edited: remove it, and \"rpdb enable\" writes it anew", s.Path)
		}
	}
	if e.host.NoLocal {
		e.note("OpenRC does not run the scripts of /etc/local.d here: rc-update add local default")
	}
	e.adviseOnEvents(program)
	if found, err := e.managers(); err == nil && e.at == "" {
		for _, d := range found {
			e.note("%s (%s)", d.Message, d.Reason)
		}
	}
}

// adviseOnEvents says which changes nobody tells rpdb of.
func (e *enabling) adviseOnEvents(program string) {
	watch := e.host.Init == boot.Systemd && !e.noWatch
	how := "without --no-watch a service of rpdb sees them"
	if e.host.Init != boot.Systemd {
		how = fmt.Sprintf("have them seen by \"%s repair --watch\", run by your supervisor of services", program)
	}
	switch h := e.host; {
	case watch:
	case h.Networkd && len(h.NetworkdDispatcher) == 0:
		e.note("systemd-networkd calls no hooks without networkd-dispatcher, which is not installed: nobody tells of its changes; %s", how)
	case !h.Ifupdown && !h.NetworkManager && len(h.NetworkdDispatcher) == 0:
		e.note("no program was found that tells of links and addresses: %s", how)
	case h.NetworkManager:
		e.note("NetworkManager tells of connections that come and go, and not of each address that a router advertisement or a new lease brings: %s", how)
	case h.Ifupdown:
		e.note("ifupdown tells of ifup and ifdown, and of no other changes of links and addresses: %s", how)
	}
}

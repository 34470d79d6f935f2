package boot

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Marker is in every file of ours that is not a link, so that it is known even
// without the record.
const Marker = `Written by "rpdb enable"; "rpdb disable" takes it away again.`

// File is one file to be there. The zero File is none.
type File struct {
	// Path is where it belongs, from the root, as in "/etc/rpdb/policy.yaml".
	Path string
	Text string
	// Link is what a symbolic link leads to; Text and Mode are then not used.
	Link string
	Mode fs.FileMode
	// What says in a few words what it is for.
	What string
	// Yields is set for files that may as well be the administrator's: where
	// another is there already, that stays, and is no error.
	Yields bool
}

// Options say what the files are to do.
type Options struct {
	// Program is the absolute path of rpdb.
	Program string
	// NoWatch leaves out the service that waits for events.
	NoWatch bool
}

// The folders that files are put in.
const (
	unitDir = "/etc/systemd/system"
	wants   = unitDir + "/multi-user.target.wants"
)

// The names of the units of systemd.
const (
	BootUnit  = "rpdb.service"
	WatchUnit = "rpdb-watch.service"
)

// PolicyPath is where the confirmed policy is kept for people.
const PolicyPath = "/etc/rpdb/policy.yaml"

// PolicyFile is the file of a policy's text.
func PolicyFile(text, what string) File {
	return File{Path: PolicyPath, Text: text, Mode: 0o644, What: what, Yields: true}
}

// Files returns the files that bring a policy back on a host: at boot, and from
// the programs that tell of events.
func Files(h Host, o Options) []File {
	files := atBoot(h, o)
	hooks := []struct {
		has   bool
		paths []string
		text  string
		mode  fs.FileMode
		what  string
	}{
		{h.Ifupdown, []string{"/etc/network/if-up.d/rpdb"}, ifHook, 0o755, "after ifup"},
		{h.Ifupdown, []string{"/etc/network/if-post-down.d/rpdb"}, ifHook, 0o755, "after ifdown"},
		{h.Dhclient, []string{"/etc/dhcp/dhclient-exit-hooks.d/rpdb"}, dhclientHook, 0o644, "with each lease"},
		{h.NetworkManager, []string{"/etc/NetworkManager/dispatcher.d/90-rpdb"}, managerHook, 0o755, "NetworkManager's events"},
		{len(h.NetworkdDispatcher) > 0, dispatcherPaths(h), dispatcherHook, 0o755, "networkd's events"},
	}
	for _, hook := range hooks {
		if !hook.has {
			continue
		}
		for _, p := range hook.paths {
			files = append(files, File{Path: p, Text: script(hook.text, o.Program), Mode: hook.mode, What: hook.what})
		}
	}
	return files
}

func dispatcherPaths(h Host) (paths []string) {
	for _, state := range h.NetworkdDispatcher {
		paths = append(paths, path.Join(dispatcherDir, state, "rpdb"))
	}
	return paths
}

// atBoot returns what the first process of the machine starts.
func atBoot(h Host, o Options) []File {
	switch h.Init {
	case Systemd:
		files := []File{
			{Path: path.Join(unitDir, BootUnit), Text: unit(bootUnitHead, h, o.Program), Mode: 0o644, What: "at boot, before the network"},
			{Path: path.Join(wants, BootUnit), Link: "../" + BootUnit, What: "starts it"},
		}
		if o.NoWatch {
			return files
		}
		return append(files,
			File{Path: path.Join(unitDir, WatchUnit), Text: unit(watchUnitHead, h, o.Program), Mode: 0o644, What: "with each event of the kernel"},
			File{Path: path.Join(wants, WatchUnit), Link: "../" + WatchUnit, What: "starts it"})
	case OpenRC:
		return []File{{Path: "/etc/local.d/rpdb.start", Text: script(bootScript, o.Program), Mode: 0o755, What: "at boot"}}
	}
	return []File{{Path: RCLocal, Text: script(bootScript, o.Program), Mode: 0o755, What: "at boot", Yields: true}}
}

// RCLocal is the script of the administrator that runs at boot where there is
// neither systemd nor OpenRC.
const RCLocal = "/etc/rc.local"

// RCLocalLine is what belongs into [RCLocal] where that has other lines already.
func RCLocalLine(program string) string {
	return fmt.Sprintf("%s repair --wait 30s --dad 5s || :", program)
}

// Paths returns the paths of files, in order.
func Paths(files []File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Path)
	}
	slices.Sort(all)
	return all
}

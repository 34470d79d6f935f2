package ipcmd

import "runtime/debug"

// Speaks is the version of iproute2 whose words and bytes these are.
const Speaks = "iproute2-7.1.0"

// Version returns the version of this program as it was noted when it was
// built, "(devel)" for one that was not released.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// versionText answers "ip -Version". Scripts look for the first three words,
// and where ip names a library we name ourselves.
func versionText() string { return "ip utility, " + Speaks + ", rpdb " + Version() + "\n" }

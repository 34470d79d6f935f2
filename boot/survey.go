package boot

import (
	"path"
	"strings"
)

// Init is the kind of the first process of a machine. The zero value is one that
// runs [RCLocal] at boot, or none at all.
type Init string

// The kinds of first processes that have places of their own for files.
const (
	Systemd Init = "systemd"
	OpenRC  Init = "OpenRC"
)

// Host says which programs a host has that can call rpdb. The zero Host has
// none.
type Host struct {
	Init Init
	// Running says that systemd is what runs now.
	Running bool
	// Ifupdown is set for ifupdown, ifupdown2 and ifupdown-ng, Dhclient where that
	// has a folder for hooks, NetworkManager where it has its dispatcher.
	Ifupdown, Dhclient, NetworkManager bool
	// Networkd says that systemd-networkd runs, and NetworkdDispatcher names the
	// folders for hooks of networkd-dispatcher, which calls them for it.
	Networkd           bool
	NetworkdDispatcher []string
	// Manual says that rpdb(8) is installed where man(1) looks.
	Manual bool
	// NoLocal is set where OpenRC does not run the scripts of its local service.
	NoLocal bool
}

const dispatcherDir = "/etc/networkd-dispatcher"

// configuredDir is the one folder of networkd-dispatcher whose hooks are called
// when a lease or a router advertisement changes the addresses of a link that is
// routable all the time (seen with systemd 252). Its package does not make it.
const configuredDir = "configured.d"

// Survey looks which programs a host has.
func (t *Tree) Survey() Host {
	program := func(name string) bool {
		return t.has("usr/sbin/"+name) || t.has("sbin/"+name) || t.has("usr/bin/"+name)
	}
	h := Host{
		Running:        t.has("run/systemd/system"),
		Ifupdown:       program("ifup") && t.has("etc/network/if-up.d"),
		Dhclient:       program("dhclient") && t.has("etc/dhcp/dhclient-exit-hooks.d"),
		NetworkManager: program("NetworkManager") && t.has("etc/NetworkManager/dispatcher.d"),
		Networkd:       t.has("run/systemd/netif/state"),
	}
	for _, dir := range []string{"usr/share/man/man8", "usr/local/share/man/man8", "usr/local/man/man8"} {
		h.Manual = h.Manual || t.has(dir+"/rpdb.8") || t.has(dir+"/rpdb.8.gz")
	}
	switch {
	case h.Running || t.initIs("systemd"):
		h.Init = Systemd
	case program("openrc-run") && t.has("etc/local.d"):
		h.Init = OpenRC
		h.NoLocal = !t.has("etc/runlevels/default/local") && !t.has("etc/runlevels/boot/local")
	}
	if program("networkd-dispatcher") && t.has(below(dispatcherDir)) {
		for _, state := range []string{"routable", "degraded", "carrier", "no-carrier", "off"} {
			if dir := state + ".d"; t.has(below(path.Join(dispatcherDir, dir))) {
				h.NetworkdDispatcher = append(h.NetworkdDispatcher, dir)
			}
		}
		h.NetworkdDispatcher = append(h.NetworkdDispatcher, configuredDir)
	}
	return h
}

// initIs reports whether the first process of the machine will be that program.
func (t *Tree) initIs(program string) bool {
	for _, name := range []string{"sbin/init", "usr/sbin/init"} {
		if link, err := t.root.Readlink(name); err == nil && strings.HasSuffix(link, "/"+program) {
			return true
		}
	}
	return false
}

package boot

import (
	"path"
	"strings"
)

// hardening is what both services may do: speak rtnetlink with CAP_NET_ADMIN,
// read what tells of the host, and write the state directory. And with CAP_BPF they may
// load the programs by which nftables knows the IPv6 packets of rules that translate
// ([rpdb.CopyProgram]): a rule of that kind may come with any policy, and by hand.
//
// ProcSubset is left at all, as the settings of the kernel in /proc/sys/net decide
// routes. Nothing can be written but the state directory, so that there is no
// need for a /tmp of its own, which would have to wait for more mounts. The boot id
// is that of the others: containers have one of their own, which systemd-nspawn and
// LXC mount over the kernel's, and Protect... mounts another /proc without it, so
// that a trial would seem to be of another boot.
const hardening = `StateDirectory=rpdb
StateDirectoryMode=0700
BindReadOnlyPaths=/proc/sys/kernel/random/boot_id
CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF
DevicePolicy=closed
IPAddressDeny=any
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=bpf
UMask=0077

[Install]
WantedBy=multi-user.target
`

// The boot unit comes before those who use the network, and does not wait for
// interfaces: what waits for one, which is exit code 3, comes with the events.
const bootUnitHead = `# @MARKER@
# Makes rules and routes what was confirmed last: see rpdb(8).
[Unit]
Description=Routing policy that rpdb has confirmed
@DOCUMENTATION@DefaultDependencies=no
ConditionCapability=CAP_NET_ADMIN
RequiresMountsFor=@FOLDER@
Wants=network.target
After=local-fs.target systemd-sysctl.service network-pre.target
Before=network.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=@PROGRAM@ repair --wait 30s
SuccessExitStatus=3
TimeoutStartSec=90s
`

const watchUnitHead = `# @MARKER@
# Makes rules and routes what was confirmed last, each time that a link, an
# address, a rule or a route changes: see rpdb(8).
[Unit]
Description=Routing policy that rpdb keeps
@DOCUMENTATION@DefaultDependencies=no
ConditionCapability=CAP_NET_ADMIN
RequiresMountsFor=@FOLDER@
Wants=network.target
After=local-fs.target systemd-sysctl.service network-pre.target rpdb.service
Before=network.target shutdown.target
Conflicts=shutdown.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=@PROGRAM@ repair --watch --wait 30s
Restart=always
RestartSec=5s
`

// unit fills a unit in. It names the manual where that is installed:
// systemd-analyze verify finds fault with one that is not.
func unit(head string, h Host, program string) string {
	manual := ""
	if h.Manual {
		manual = "Documentation=man:rpdb(8)\n"
	}
	return strings.NewReplacer("@FOLDER@", path.Dir(program), "@DOCUMENTATION@", manual).Replace(script(head, program)) + hardening
}

package boot

import "strings"

// A hook never fails: what called it has done its own work, and ifup would take
// the interface for not configured. Two at once wait for each other. It waits for
// duplicate address detection, which takes two seconds: NetworkManager (1.42) calls
// once, when the address of a connection is there, which is tentative then.
const (
	bootScript = `#!/bin/sh
# @MARKER@
# Makes rules and routes what was confirmed last.
[ ! -x @PROGRAM@ ] || @PROGRAM@ repair --wait 30s --dad 5s || :
exit 0
`
	ifHook = `#!/bin/sh
# @MARKER@
# ifup or ifdown has changed an interface: rules and routes follow.
[ "$IFACE" != lo ] && [ -x @PROGRAM@ ] || exit 0
@PROGRAM@ repair --wait 30s --dad 5s || :
exit 0
`
	dhclientHook = `# @MARKER@
# dhclient has a lease, or has it no more: rules and routes follow. This is a part
# of its script, and must not exit.
case "$reason" in
BOUND* | RENEW* | REBIND* | REBOOT | EXPIRE* | DEPREF6 | FAIL | RELEASE* | STOP* | TIMEOUT)
	[ ! -x @PROGRAM@ ] || @PROGRAM@ repair --wait 30s --dad 5s || :
	;;
esac
`
	managerHook = `#!/bin/sh
# @MARKER@
# NetworkManager has changed an interface: rules and routes follow.
case "$2" in
up | down | vpn-up | vpn-down | dhcp4-change | dhcp6-change | reapply) ;;
*) exit 0 ;;
esac
[ ! -x @PROGRAM@ ] || @PROGRAM@ repair --wait 30s --dad 5s || :
exit 0
`
	dispatcherHook = `#!/bin/sh
# @MARKER@
# systemd-networkd has changed an interface: rules and routes follow.
[ "$IFACE" != lo ] && [ -x @PROGRAM@ ] || exit 0
@PROGRAM@ repair --wait 30s --dad 5s || :
exit 0
`
)

func script(text, program string) string {
	return strings.NewReplacer("@MARKER@", Marker, "@PROGRAM@", program).Replace(text)
}

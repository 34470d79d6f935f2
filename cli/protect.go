package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/fib"
	"rpdb/plan"
)

// protection is what a change must not cut.
type protection struct {
	flows []string // of --protect
	force bool
}

func (p *protection) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&p.flows, "protect", nil, "refuse what would cut the flow `FLOW`, in the words of \"rpdb explain\", besides the ssh connection one sits on; may stand more than once")
	cmd.Flags().BoolVar(&p.force, "force", false, "do it even if it cuts the ssh connection, or what --protect names")
}

// parse reads the flows that are named.
func (p *protection) parse() ([]rpdb.Flow, error) {
	var flows []rpdb.Flow
	for _, words := range p.flows {
		f, err := ParseFlow(strings.Fields(words))
		if err != nil {
			return nil, fmt.Errorf("--protect %q: %w", words, err)
		}
		flows = append(flows, f)
	}
	return flows, nil
}

// cutError is a plan that would cut what is protected.
type cutError struct{ cuts []*plan.Cut }

func (e *cutError) Error() string {
	var lines []string
	for _, c := range e.cuts {
		lines = append(lines, "refused: "+c.Error())
	}
	return strings.Join(lines, "\n")
}

// Hint says what else can be done.
func (e *cutError) Hint() string {
	return "--force does it all the same; with --confirm 5m it comes undone if it was wrong"
}

// check returns what refuses a plan for a host, nil if nothing is protected.
func (a *app) check(host *rpdb.Snapshot) (func(plan.Plan) error, error) {
	flows, err := a.protection.parse()
	if err != nil || a.protection.force {
		return nil, err
	}
	a.notOpen(flows, host)
	if ssh, ok := sshFlow(sshConnection(), host); ok {
		flows = append(flows, ssh)
		if in, ok := incoming(ssh, host); ok {
			flows = append(flows, in)
		}
	}
	if len(flows) == 0 {
		return nil, nil
	}
	return func(p plan.Plan) error {
		if cuts := p.Cuts(host, flows); len(cuts) > 0 {
			return &cutError{cuts}
		}
		return nil
	}, nil
}

// notOpen says which flows do not get through now, so that nothing can protect
// them.
func (a *app) notOpen(flows []rpdb.Flow, host *rpdb.Snapshot) {
	if len(flows) == 0 {
		return
	}
	engine := fib.Compile(host)
	for _, f := range flows {
		if d := engine.Lookup(f); !d.Disposition.Delivered() {
			fmt.Fprintf(a.Err, "note: --protect: the flow to %v does not get through now (%v), and is not protected\n", f.Dst, d.Disposition)
		}
	}
}

// sshFlow is the way of the answers of an ssh connection, as SSH_CONNECTION
// describes it, if it ends on the host.
func sshFlow(connection string, host *rpdb.Snapshot) (rpdb.Flow, bool) {
	words := strings.Fields(connection)
	if len(words) != 4 {
		return rpdb.Flow{}, false
	}
	client, err1 := netip.ParseAddrPort(joinHostPort(words[0], words[1]))
	server, err2 := netip.ParseAddrPort(joinHostPort(words[2], words[3]))
	if errors.Join(err1, err2) != nil {
		return rpdb.Flow{}, false
	}
	f := rpdb.Flow{
		Dst: client.Addr().WithZone(""), Src: server.Addr().WithZone(""), OIF: rpdb.LinkName(client.Addr().Zone()),
		IPProto: rpdb.TCP, SPort: server.Port(), DPort: client.Port(),
	}
	ours := slices.ContainsFunc(host.Addresses, func(a rpdb.Address) bool { return a.Prefix.Addr() == f.Src })
	return f, ours
}

// incoming is the other direction of a connection whose answers leave by the
// interface that has their source. Where they leave by another one nobody can
// say by which the packets come in.
func incoming(answers rpdb.Flow, host *rpdb.Snapshot) (rpdb.Flow, bool) {
	d := fib.Compile(host).Lookup(answers)
	l, ok := host.LinkByName(d.Link)
	if !ok || d.Disposition != rpdb.Sent || len(d.Either) > 0 || l.IsLoopback() {
		return rpdb.Flow{}, false
	}
	in := rpdb.Flow{
		Dst: answers.Src, Src: answers.Dst, IIF: d.Link,
		IPProto: answers.IPProto, SPort: answers.DPort, DPort: answers.SPort,
	}
	has := slices.ContainsFunc(host.AddressesOf(in.Family(), l.Index), func(a rpdb.Address) bool { return a.Prefix.Addr() == in.Dst })
	return in, has
}

func joinHostPort(addr, port string) string {
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return addr + ":" + port
}

// sshConnection is SSH_CONNECTION of this process, or of the nearest one above
// it that has one and can be read: sudo clears it away.
func sshConnection() string {
	if c := os.Getenv("SSH_CONNECTION"); c != "" {
		return c
	}
	pid := os.Getppid()
	for range 32 {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			return ""
		}
		for v := range strings.SplitSeq(string(environ), "\x00") {
			if c, ok := strings.CutPrefix(v, "SSH_CONNECTION="); ok && c != "" {
				return c
			}
		}
		if pid = parentOf(pid); pid <= 1 {
			return ""
		}
	}
	return ""
}

// parentOf returns the process that started another, 0 if it cannot be told.
func parentOf(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if word, ok := strings.CutPrefix(line, "PPid:"); ok {
			parent, _ := strconv.Atoi(strings.TrimSpace(word))
			return parent
		}
	}
	return 0
}

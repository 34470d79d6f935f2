package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/kernel"
)

// What the help of explain says of sockets.
const (
	socketLong = `With --socket or --pid the packets are those of sockets, and addresses, ports,
user, mark, TOS and interface are as the kernel has them. Sockets whose packets
go the same way are explained once. One that is not connected has no
destination: add "to ADDRESS", and what else it leaves open. One that listens
answers from each address of this host, unless "from ADDRESS" names one. The
kernel lists no sockets of ICMP, as ping has them, and few kernels raw ones.`
	socketExample = "\n  rpdb explain --pid 4711\n  rpdb explain --socket 10.0.0.5:22,203.0.113.9:51834\n  rpdb explain --socket :443 to 203.0.113.9"
)

// socketQuery says which sockets explain is asked about. The zero value is none.
type socketQuery struct {
	socket, pid string
	cmd         *cobra.Command
}

// socketFlags adds the options that name sockets.
func (q *socketQuery) socketFlags(cmd *cobra.Command) {
	q.cmd = cmd
	cmd.Flags().StringVar(&q.socket, "socket", "", "explain the sockets that `SOCKET` names: "+socketUsage)
	cmd.Flags().StringVar(&q.pid, "pid", "", "explain the sockets of the process `PID`, in its network namespace unless --netns names one")
}

// asked reports whether sockets are asked about.
func (q *socketQuery) asked() bool {
	return q.cmd.Flags().Changed("socket") || q.cmd.Flags().Changed("pid")
}

// wantedSockets is a [socketQuery] that was understood.
type wantedSockets struct {
	pattern socketPattern
	text    string          // of the pattern, "" if none was given
	pid     int             // 0: of any process
	inodes  map[uint32]bool // of the process
}

func (q *socketQuery) parse() (w wantedSockets, err error) {
	if q.cmd.Flags().Changed("socket") {
		w.text = q.socket
		if w.pattern, err = parseSocketPattern(q.socket); err != nil {
			return w, err
		}
	}
	if q.cmd.Flags().Changed("pid") {
		n, err := strconv.ParseUint(q.pid, 10, 31)
		if err != nil || n == 0 {
			return w, &usageError{text: fmt.Sprintf("--pid: %q is not the number of a process", q.pid)}
		}
		w.pid = int(n)
	}
	return w, nil
}

// explainSockets explains the flows of sockets; the words fill what those leave
// open.
func (a *app) explainSockets(ctx context.Context, q *socketQuery, args []string) error {
	for _, other := range []string{"snapshot", "from-text", "pcap"} {
		if q.cmd.Flags().Changed(other) {
			return &usageError{text: fmt.Sprintf("--%s excludes --socket and --pid: sockets are those of this host as it is now", other)}
		}
	}
	wanted, err := q.parse()
	if err != nil {
		return err
	}
	words, err := parseSocketWords(args)
	if err != nil {
		return err
	}
	conn, elsewhere, err := a.openFor(&wanted)
	if err != nil {
		return err
	}
	defer conn.Close()
	sockets, err := conn.InetSockets(ctx)
	if err != nil {
		return err
	}
	s, err := conn.Snapshot(ctx)
	if err != nil {
		return err
	}
	g := grouping{x: newExplainer(s, conn), accepts: acceptors(sockets), at: map[string]int{}}
	sockets = slices.DeleteFunc(sockets, func(k kernel.InetSocket) bool { return !wanted.has(k, s.LinkName) })
	if len(sockets) == 0 {
		return wanted.none(a.netns != "")
	}
	slices.SortFunc(sockets, compareSockets)
	e, err := g.explainEach(ctx, flowMaker{s, words}, sockets)
	if err != nil {
		return err
	}
	for i := range e.Flows {
		if err := a.answerWhyNot(g.x, &e.Flows[i].explanation); err != nil {
			return err
		}
	}
	e.PID, e.Elsewhere = wanted.pid, elsewhere
	if a.json {
		return a.printJSON(e)
	}
	return a.viewSockets(s, e)
}

// openFor opens the namespace where the sockets are: the one that was asked
// for, else that of the process. Elsewhere says that the latter is not the
// caller's own.
func (a *app) openFor(w *wantedSockets) (conn *kernel.Conn, elsewhere bool, err error) {
	if w.pid == 0 {
		conn, err = a.open()
		return conn, false, err
	}
	if w.inodes, err = kernel.ProcessSockets(w.pid); err != nil {
		return nil, false, explainDenied(err)
	}
	if a.netns != "" {
		conn, err = a.open()
		return conn, false, err
	}
	ns, err := kernel.ProcessNetNS(w.pid)
	if err != nil {
		return nil, false, explainDenied(err)
	}
	defer ns.Close()
	own, err := kernel.CurrentNetNS()
	if err != nil {
		return nil, false, err
	}
	defer own.Close()
	same, err := own.Same(ns)
	if err != nil {
		return nil, false, err
	}
	conn, err = kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		err = fmt.Errorf("process %d lives in another network namespace: %w", w.pid, err)
	}
	return conn, !same, err
}

// explainDenied adds to a refusal to look into a process whose that is.
func explainDenied(err error) error {
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return &hintedError{err, "the sockets of other users' processes are told to root only (CAP_SYS_PTRACE)"}
	}
	return err
}

// has reports whether a socket is wanted.
func (w wantedSockets) has(s kernel.InetSocket, linkName func(rpdb.LinkIndex) rpdb.LinkName) bool {
	return (w.pid == 0 || s.Inode != 0 && w.inodes[s.Inode]) && w.pattern.matches(s, linkName)
}

// none is the error about a wish that no socket fulfils.
func (w wantedSockets) none(inAsked bool) error {
	where := ""
	if inAsked {
		where = " in this network namespace"
	}
	switch {
	case w.pid == 0:
		return &hintedError{fmt.Errorf("no socket is %q%s", w.text, where), `"ss -tuan" lists the sockets of a host`}
	case len(w.inodes) == 0:
		return fmt.Errorf("process %d has no sockets", w.pid)
	case w.text != "":
		return &hintedError{fmt.Errorf("process %d has no socket %q%s", w.pid, w.text, where), fmt.Sprintf(`"rpdb explain --pid %d" explains all that it has`, w.pid)}
	}
	return fmt.Errorf("process %d has no socket of IPv4 or IPv6%s with an address: its %d are of other kinds, or were made in another network namespace",
		w.pid, where, len(w.inodes))
}

// compareSockets puts sockets into an order to read them in.
func compareSockets(a, b kernel.InetSocket) int {
	return cmp.Or(
		cmp.Compare(a.Protocol, b.Protocol),
		a.Local.Compare(b.Local),
		a.Remote.Compare(b.Remote),
		cmp.Compare(a.Inode, b.Inode),
	)
}

// socketsExplained is the JSON of explain for sockets.
type socketsExplained struct {
	Version int `json:"version"`
	PID     int `json:"pid,omitzero"`
	// Elsewhere says that the process lives in another network namespace than
	// the caller.
	Elsewhere bool           `json:"other_netns,omitzero"`
	Flows     []socketGroup  `json:"flows"`
	Left      []socketReason `json:"unexplained"`
}

// socketGroup are sockets whose packets go the same way. The trace is that of
// the first one.
type socketGroup struct {
	Sockets []socketSeen `json:"sockets"`
	explanation
	// Before is where a connection of IPv6 may still go that was made before
	// anything changed.
	Before *rpdb.Decision `json:"until_change,omitempty"`
	first  socketFlow
}

// socketSeen is the JSON of a socket, and its flow.
type socketSeen struct {
	Protocol  string           `json:"protocol"`
	State     string           `json:"state"`
	Local     netip.AddrPort   `json:"local"`
	Remote    netip.AddrPort   `json:"remote,omitzero"`
	Interface rpdb.LinkName    `json:"interface,omitzero"` // that it is bound to
	V6Only    bool             `json:"ipv6_only,omitzero"`
	Inode     uint32           `json:"inode,omitzero"`
	UID       uint32           `json:"uid"`
	Mark      rpdb.Opt[uint32] `json:"mark"`
	Flow      *rpdb.Flow       `json:"flow,omitempty"`
	// Unknown are parts of the flow that the kernel does not tell and that are
	// taken for zero, with the reason.
	Unknown map[string]string `json:"unknown,omitempty"`
	socket  kernel.InetSocket
}

// socketReason is a socket that cannot be explained, and why.
type socketReason struct {
	socketSeen
	Reason string `json:"reason"`
}

// explainEach explains the flows of sockets and puts those together that go the
// same way. It is an error if none can be explained, or if a word says nothing
// about any.
func (g *grouping) explainEach(ctx context.Context, m flowMaker, sockets []kernel.InetSocket) (socketsExplained, error) {
	e := socketsExplained{Version: 1, Left: []socketReason{}}
	used := map[string]bool{}
	for _, s := range sockets {
		flows, reason := m.flowsOf(s)
		if reason != "" {
			e.Left = append(e.Left, socketReason{m.seen(socketFlow{socket: s}), reason})
		}
		for _, f := range flows {
			for _, word := range f.used {
				used[word] = true
			}
			if err := g.add(ctx, m, f); err != nil {
				return e, err
			}
		}
	}
	if len(g.groups) == 0 {
		return e, noneExplained(e.Left)
	}
	e.Flows = g.groups
	return e, m.words.unused(used)
}

// noneExplained is the error about sockets of which none can be explained.
func noneExplained(left []socketReason) error {
	first := left[0]
	err := fmt.Errorf("socket %s: %s", first.line(), first.Reason)
	if more := len(left) - 1; more > 0 {
		err = fmt.Errorf("%w (and %d more cannot be explained)", err, more)
	}
	return err
}

// unused is the error about the first word that fills no gap of any socket.
func (w socketWords) unused(used map[string]bool) error {
	for _, word := range append(openWords(), socketCall) {
		if w.given[word] && !used[word] {
			return fmt.Errorf("flow: %q says nothing here: every socket that is explained has that of its own, or has no use for it", word)
		}
	}
	return nil
}

// seen is what is told of a socket.
func (m flowMaker) seen(f socketFlow) socketSeen {
	s := f.socket
	seen := socketSeen{
		Protocol: protocolName(s.Protocol), State: s.State.String(), Local: s.Local, Remote: s.Remote,
		V6Only: s.V6Only && !s.IsConnected(), Interface: m.snap.LinkName(s.Bound), Inode: s.Inode, UID: s.UID, Mark: s.Mark, Unknown: f.unknown, socket: s,
	}
	if f.flow.Dst.IsValid() {
		seen.Flow = &f.flow
	}
	return seen
}

// grouping collects explanations by what they come to.
type grouping struct {
	x       explainer
	accepts func(kernel.InetSocket) bool
	groups  []socketGroup
	at      map[string]int // by key
}

// add explains a flow, unless a group goes the same way.
func (g *grouping) add(ctx context.Context, m flowMaker, f socketFlow) error {
	e, err := g.x.explain(ctx, f.flow)
	if err != nil {
		return err
	}
	e.known = f.knows
	group := socketGroup{Sockets: []socketSeen{m.seen(f)}, explanation: e, Before: g.before(f, e.Trace.Decision), first: f}
	key := group.key()
	if i, ok := g.at[key]; ok {
		g.groups[i].Sockets = append(g.groups[i].Sockets, group.Sockets[0])
		return nil
	}
	g.at[key] = len(g.groups)
	g.groups = append(g.groups, group)
	return nil
}

// key is equal for flows that go the same way, have the same answer of the
// kernel, and leave the same open. A source that a socket has itself makes no
// difference.
func (g socketGroup) key() string {
	way := func(d *rpdb.Decision) string {
		if d == nil {
			return ""
		}
		w := *d
		if g.first.flow.Src.IsValid() {
			w.Src = netip.Addr{}
		}
		return fmt.Sprintf("%+v", w)
	}
	disagrees := ""
	if g.Agrees != nil && !*g.Agrees {
		disagrees = way(g.Kernel)
	}
	return fmt.Sprint(g.first.flow.Family(), way(&g.Trace.Decision), g.Agrees == nil, g.Unasked, disagrees, way(g.Before), openNames(g.first))
}

func openNames(f socketFlow) (names []string) {
	for _, field := range openFields(f.flow) {
		if !f.knows(field.name) {
			names = append(names, field.name)
		}
	}
	return names
}

// before returns where a connection of IPv6 may still go, nil if that is no
// other way: connect(2) asks without a source, and what it found stays in force
// until rules or that route change. Those that were accepted had their source
// from the start.
func (g *grouping) before(f socketFlow, now rpdb.Decision) *rpdb.Decision {
	if !f.flow.Dst.Is6() || !f.socket.IsConnected() || g.accepts(f.socket) {
		return nil
	}
	asked := f.flow
	asked.Src, asked.Socket, asked.TOS = netip.Addr{}, rpdb.Connect, f.socket.TClass
	if f.socket.Protocol == rpdb.TCP {
		asked.SPort = 0 // chosen later
	}
	d := g.x.fib.Lookup(asked)
	if d.Disposition == rpdb.Refused || d.Disposition == now.Disposition && d.Hop == now.Hop && d.Table == now.Table {
		return nil // what is refused was not connected that way
	}
	return &d
}

// acceptors returns what tells connections that a listening socket accepted
// from those that were made here.
func acceptors(sockets []kernel.InetSocket) func(kernel.InetSocket) bool {
	type door struct {
		proto rpdb.IPProto
		port  uint16
	}
	doors := map[door]bool{}
	for _, s := range sockets {
		if s.State == kernel.SocketListen {
			doors[door{s.Protocol, s.Local.Port()}] = true
		}
	}
	return func(s kernel.InetSocket) bool { return doors[door{s.Protocol, s.Local.Port()}] }
}

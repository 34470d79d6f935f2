package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/fib"
	"rpdb/format/pcap"
	"rpdb/kernel"
)

// captureWords is what is said about the packets of a capture: the parts of a
// flow that no packet carries.
type captureWords struct {
	local bool      // every packet is one of this host
	flow  rpdb.Flow // without addresses
}

// captureUsage is the grammar of what is said about all packets of a capture.
const captureUsage = "[iif NAME | local] [oif NAME] [mark N] [uid N] [tun_id N] [flowlabel N] [connect | sendto]"

// captureLong and captureExample are the part of the help about captures.
const (
	captureLong = `With --pcap the packets are those of a capture (pcap or pcapng), in groups of
equal decision, as the rules see them: no fragment that comes in has ports, the
first included, and no ICMP message. Packets with a source of this host, or that
the capture shows leaving, are asked as packets of this host, from a socket
bound to their source (or, with "connect" or "sendto", without one); there the
type and code of ICMP stand in the place of dport. What no packet carries is
said in words:
  [iif NAME | local] [oif NAME] [mark N] [uid N] [tun_id N] [flowlabel N]
  [connect | sendto]
"iif" is needed where the capture does not name the interface, and picks one
where it does; Ethernet captures tell no direction, and what NAME sent out for
others is then taken as coming in. "local" takes all packets for those of this
host. Where addresses are translated, a capture shows what comes in before it
and what leaves after it: rules may see another destination of what comes
in, and what leaves masqueraded is taken for packets of this host. Up to 1000
groups are kept, and 262144 flows told apart.`
	captureExample = "\n  tcpdump -i any -c 1000 -w - | rpdb explain --pcap -\n  rpdb explain --pcap lan.pcap iif lan0 mark 0x10"
)

// parseCaptureWords reads the words beside --pcap.
func parseCaptureWords(words []string) (captureWords, error) {
	var c captureWords
	p := newFlowParser(words)
	for p.at < len(words) {
		word := words[p.at]
		if full, ok := flowAliases()[word]; ok {
			word = full
		}
		switch word {
		case "local":
			c.local = true
			if err := p.once(word, 1); err != nil {
				return c, err
			}
			continue
		case "iif", "oif", "mark", "uid", "tun_id", "connect", "sendto", "flowlabel":
		default:
			return c, &usageError{
				fmt.Sprintf("flow: word %d %q: with --pcap addresses and headers are those of the packets", p.at+1, words[p.at]),
				"what can be said of all packets is: " + captureUsage,
			}
		}
		if err := p.next(); err != nil {
			return c, err
		}
	}
	if err := p.together(); err != nil {
		return c, err
	}
	c.flow = p.flow
	return c, p.clash("iif", "local", "iif and local exclude each other: a packet comes in, or is one of this host")
}

// explainPcap explains the packets of a capture, in groups of equal decision.
func (a *app) explainPcap(ctx context.Context, file string, words []string) error {
	said, err := parseCaptureWords(words)
	if err != nil {
		return err
	}
	s, conn, err := a.state(ctx)
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
	}
	x := newCaptureExplainer(s, conn, said)
	for _, name := range []rpdb.LinkName{said.flow.IIF, said.flow.OIF} {
		if _, ok := s.LinkByName(name); name != "" && !ok {
			return fmt.Errorf("flow: interface %q does not exist here", string(name))
		}
	}
	if err := a.withFile(ctx, file, func(r io.Reader) error { return x.read(ctx, r) }); err != nil {
		return a.readFailed(ctx, "capture", file, err)
	}
	c, err := x.explanation(ctx)
	if err != nil {
		return err
	}
	for _, g := range c.Groups {
		if err := a.answerWhyNot(x.explainer, &g.Explanation); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(c)
	}
	return a.viewCapture(s, c)
}

// What is kept of a capture is bounded: so many groups, so many reasons to leave
// a packet out, so many flows told apart, and so many packets named of each.
const (
	maxGroups   = 1000
	maxReasons  = 100
	maxFlows    = 1 << 18
	maxExamples = 5
)

// tally counts packets and names the first.
type tally struct {
	Packets  int64   `json:"packets"`
	Examples []int64 `json:"examples"` // numbers in the file, from 1
}

func (t *tally) add(number int64) {
	t.Packets++
	if len(t.Examples) < maxExamples {
		t.Examples = append(t.Examples, number)
	}
}

// decisionKey is what the packets of a group have in common: everything in a
// decision but the source and which of several routes led there.
type decisionKey struct {
	family rpdb.Family
	iif    rpdb.LinkName
	rpdb.Hop
	disposition rpdb.Disposition
	table       rpdb.TableID
	typ         rpdb.RouteType
	errno       rpdb.Errno
	icmp        rpdb.ICMPError
	realms      rpdb.Realms
	rule        rpdb.Opt[rpdb.Priority]
	either      string
	note        string
	cut         bool
}

func keyOf(f rpdb.Flow, d rpdb.Decision, cut bool) decisionKey {
	k := decisionKey{
		family: f.Family(), iif: f.IIF, Hop: d.Hop, disposition: d.Disposition, table: d.Table, typ: d.Type,
		errno: d.Errno, icmp: d.ICMP, realms: d.Realms, rule: d.Rule, note: d.Note, cut: cut,
	}
	if len(d.Either) > 0 {
		k.Hop, k.either = rpdb.Hop{}, fmt.Sprint(d.Either)
	}
	return k
}

// packetGroup is the packets for which one decision was made.
type packetGroup struct {
	tally
	Flows int `json:"flows"` // told apart; a lower bound once there are too many in the file
	// Cut says that the capture kept too little of these packets to tell their
	// ports, and that a rule looks at ports.
	Cut bool `json:"ports_cut_off,omitzero"`
	// Fragments and Expiring count those that are fragments, and those whose
	// time to live ends here.
	Fragments int64 `json:"fragments,omitzero"`
	Expiring  int64 `json:"expiring,omitzero"`
	// Elsewhere counts packets of this host by the interface that the capture
	// shows them leaving by, where it is another.
	Elsewhere map[rpdb.LinkName]int64 `json:"seen_leaving_by,omitempty"`
	// Explanation is that of the first packet.
	Explanation explanation `json:"explanation"`

	first rpdb.Flow
	fib   *fib.FIB // that decided about it
}

// leftOut is the packets without an explanation, for one reason.
type leftOut struct {
	tally
	Reason string `json:"reason"`
}

// captureExplanation is the JSON of explain --pcap. Groups stand in order of
// their sizes.
type captureExplanation struct {
	Version  int            `json:"version"`
	Packets  int64          `json:"packets"`
	Groups   []*packetGroup `json:"groups"`
	LeftOut  []*leftOut     `json:"left_out,omitempty"`
	FlowsCut bool           `json:"flows_are_lower_bounds,omitzero"`
}

// captureExplainer collects the packets of a capture.
type captureExplainer struct {
	explainer
	words   captureWords
	own     map[netip.Addr]bool
	links   map[rpdb.LinkName]rpdb.Link
	indexes map[rpdb.LinkIndex]rpdb.Link
	ports   map[rpdb.Family]bool // some rule looks at the protocol or at ports
	// unseeded is the engine without the seed of the multipath hash, for packets
	// that the kernel hashes by something that is not in their flow; nil: there
	// is no seed.
	unseeded *fib.FIB

	packets int64
	groups  map[decisionKey]*packetGroup
	reasons map[string]*leftOut
	flows   map[uint64]struct{}
	seed    maphash.Seed
}

func newCaptureExplainer(s *rpdb.Snapshot, conn *kernel.Conn, words captureWords) *captureExplainer {
	x := &captureExplainer{
		explainer: newExplainer(s, conn), words: words, own: map[netip.Addr]bool{}, links: map[rpdb.LinkName]rpdb.Link{},
		indexes: map[rpdb.LinkIndex]rpdb.Link{}, ports: map[rpdb.Family]bool{}, groups: map[decisionKey]*packetGroup{},
		reasons: map[string]*leftOut{}, flows: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
	}
	if s.Sysctls.HashSeed != 0 {
		bare := *s
		bare.Sysctls.HashSeed = 0
		x.unseeded = fib.Compile(&bare)
	}
	for _, a := range s.Addresses {
		x.own[a.Prefix.Addr()] = true
	}
	for _, l := range s.Links {
		x.links[l.Name], x.indexes[l.Index] = l, l
	}
	for _, r := range s.Rules {
		if r.Selector.IPProto != 0 || r.Selector.SPort != (rpdb.Ports{}) || r.Selector.DPort != (rpdb.Ports{}) {
			x.ports[r.Family] = true
		}
	}
	return x
}

// read takes in all packets.
func (x *captureExplainer) read(ctx context.Context, r io.Reader) error {
	in, err := pcap.NewReader(r)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		p, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		x.packets++
		if err := x.take(p); err != nil {
			return fmt.Errorf("packet %d: %w", p.Number, err)
		}
	}
	return context.Cause(ctx)
}

// take adds a packet to its group, or to those that are left out.
func (x *captureExplainer) take(p pcap.Packet) error {
	frame, ok := p.Frame()
	if !ok {
		x.leave(p.Number, "cut within the link layer")
		return nil
	}
	ip, err := frame.IP()
	if errors.Is(err, pcap.ErrNotIP) {
		x.leave(p.Number, "no IP packet: "+frame.Type.String())
		return nil
	}
	if err != nil {
		x.leave(p.Number, err.Error())
		return nil
	}
	at, err := x.place(p, frame, ip)
	if err != nil {
		return err
	}
	if at.reason != "" {
		x.leave(p.Number, at.reason)
		return nil
	}
	x.decide(p.Number, ip, at)
	return nil
}

func (x *captureExplainer) leave(number int64, reason string) {
	l := x.reasons[reason]
	if l == nil && len(x.reasons) >= maxReasons {
		reason = "for other reasons"
		l = x.reasons[reason]
	}
	if l == nil {
		l = &leftOut{Reason: reason}
		x.reasons[reason] = l
	}
	l.add(number)
}

// decide asks the engine about a packet and adds it to the group of the answer.
func (x *captureExplainer) decide(number int64, ip pcap.IP, at placed) {
	flow := x.flow(ip, at)
	engine := x.engine(ip, at)
	d := engine.Lookup(flow)
	key := keyOf(flow, d, ip.Cut && x.ports[flow.Family()])
	g := x.groups[key]
	if g == nil {
		if len(x.groups) >= maxGroups {
			x.leave(number, fmt.Sprintf("decided otherwise than the first %d groups", maxGroups))
			return
		}
		g = &packetGroup{first: flow, fib: engine, Cut: key.cut}
		x.groups[key] = g
	}
	g.add(number)
	hash := x.hash(flow, key.cut)
	if _, known := x.flows[hash]; !known && len(x.flows) < maxFlows {
		x.flows[hash] = struct{}{}
		g.Flows++
	}
	if ip.Fragment {
		g.Fragments++
	}
	if at.incoming && ip.TTL <= 1 && d.Disposition == rpdb.Sent {
		g.Expiring++
	}
	if !at.incoming && at.seen != "" && d.Disposition == rpdb.Sent && len(d.Either) == 0 && at.seen != d.Link {
		if g.Elsewhere == nil {
			g.Elsewhere = map[rpdb.LinkName]int64{}
		}
		g.Elsewhere[at.seen]++
	}
}

// engine returns the engine that decides about a packet. Between nexthops the
// kernel sends an ICMP error by the packet that it quotes, and an IPv6 packet by
// the first of its headers: those ways are not foretold.
func (x *captureExplainer) engine(ip pcap.IP, at placed) *fib.FIB {
	if at.incoming && x.unseeded != nil && (ip.IsICMPError() || ip.Protocol != ip.NextHeader) {
		return x.unseeded
	}
	return x.fib
}

// hash tells flows of the capture apart, by the fields that packets carry.
func (x *captureExplainer) hash(f rpdb.Flow, cut bool) uint64 {
	var b [64]byte
	if cut {
		b[43] = 1
	}
	src, dst := f.Src.As16(), f.Dst.As16() // an invalid source only stands beside others
	copy(b[copy(b[:], dst[:]):], src[:])
	binary.LittleEndian.PutUint32(b[32:], f.FlowLabel)
	binary.LittleEndian.PutUint16(b[36:], f.SPort)
	binary.LittleEndian.PutUint16(b[38:], f.DPort)
	b[40], b[41], b[42] = f.TOS, byte(f.IPProto), byte(f.Family())
	copy(b[44:], f.IIF) // of at most 15 bytes
	return maphash.Bytes(x.seed, b[:])
}

// flow makes the flow of a packet, with what was said about all.
func (x *captureExplainer) flow(ip pcap.IP, at placed) rpdb.Flow {
	said := x.words.flow
	if at.incoming {
		f := ip.Input(at.link)
		f.Mark, f.TunID = said.Mark, said.TunID
		return f
	}
	f := ip.Output()
	f.Mark, f.UID, f.OIF, f.Socket = said.Mark, said.UID, said.OIF, said.Socket
	if f.OIF == "" && (ip.Dst.IsMulticast() || ip.Dst.IsLinkLocalUnicast() && ip.Dst.Is6()) {
		f.OIF = at.seen // such an address means something only with an interface
	}
	if !ip.Dst.Is4() {
		f.FlowLabel = said.FlowLabel
	}
	if f.Socket != rpdb.RouteGet {
		f.Src = netip.Addr{}
	}
	return f
}

// explanation explains the first packet of each group.
func (x *captureExplainer) explanation(ctx context.Context) (captureExplanation, error) {
	c := captureExplanation{Version: 1, Packets: x.packets, Groups: []*packetGroup{}, FlowsCut: len(x.flows) >= maxFlows}
	for _, g := range x.groups {
		c.Groups = append(c.Groups, g)
	}
	slices.SortFunc(c.Groups, func(a, b *packetGroup) int { return byCount(a.tally, b.tally) })
	for _, g := range c.Groups {
		of := x.explainer
		of.fib = g.fib
		e, err := of.explain(ctx, g.first)
		if err != nil {
			return c, err
		}
		e.known = func(field string) bool { return carried(field, e.Trace.Flow) }
		g.Explanation = e
	}
	for _, l := range x.reasons {
		c.LeftOut = append(c.LeftOut, l)
	}
	slices.SortFunc(c.LeftOut, func(a, b *leftOut) int { return byCount(a.tally, b.tally) })
	return c, nil
}

// byCount puts more packets before fewer, and earlier before later.
func byCount(a, b tally) int {
	switch {
	case a.Packets != b.Packets && a.Packets > b.Packets:
		return -1
	case a.Packets != b.Packets:
		return 1
	}
	return int(a.Examples[0] - b.Examples[0])
}

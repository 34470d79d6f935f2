package cli

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// maxSockets is how many sockets of a group are listed; JSON has them all.
const maxSockets = 10

func (a *app) viewSockets(s *rpdb.Snapshot, e socketsExplained) error {
	w := newPrinter(a.Out)
	if e.Elsewhere {
		w.wrap(fmt.Sprintf("process %d lives in another network namespace; this is how it is there:", e.PID))
		w.printf("\n")
	}
	for i, g := range e.Flows {
		if i > 0 {
			w.printf("\n")
		}
		w.sockets(g)
		if w.err != nil {
			return w.err
		}
		if err := a.viewExplain(s, g.explanation); err != nil {
			return err
		}
		w.unknown(g)
		if g.Before != nil {
			w.wrap("note: a connection of IPv6 keeps the route that connect(2) found without a source until rules or that route change; until then this one " + safe(verdictLine(*g.Before)))
		}
	}
	w.unexplained(e.Left)
	return w.err
}

// sockets lists those that go one way.
func (p *printer) sockets(g socketGroup) {
	lines := counted(g.Sockets)
	if len(lines) == 1 {
		p.printf("%s\n", lines[0])
		return
	}
	p.printf("these go the same way, and the walk is that of the first:\n")
	for _, line := range lines[:min(len(lines), maxSockets)] {
		p.printf("  %s\n", line)
	}
	if more := len(lines) - maxSockets; more > 0 {
		p.printf("  and %d more (--json lists all)\n", more)
	}
}

// counted returns the lines of sockets, those that are the same once.
func counted(sockets []socketSeen) (lines []string) {
	times := map[string]int{}
	for _, s := range sockets {
		line := s.line()
		if times[line]++; times[line] == 1 {
			lines = append(lines, line)
		}
	}
	for i, line := range lines {
		if n := times[line]; n > 1 {
			lines[i] = fmt.Sprintf("%s (%d times)", line, n)
		}
	}
	return lines
}

// line is a socket as ss shows it, and what else its route depends on.
func (s socketSeen) line() string {
	local, remote := endNames(s.socket, s.Interface)
	parts := []string{fmt.Sprintf("%s %s %s", s.Protocol, s.State, local)}
	switch f := s.Flow; {
	case s.socket.IsConnected():
		parts[0] += " " + remote
	case f != nil && s.State == "LISTEN":
		parts = append(parts, fmt.Sprintf("answering %v from %v", f.Dst, f.Src))
	case f != nil:
		parts = append(parts, fmt.Sprintf("sending to %v", f.Dst))
	}
	if s.Flow == nil {
		return safe(strings.Join(parts, ", "))
	}
	parts = append(parts, fmt.Sprintf("uid %d", s.UID))
	if mark := s.Flow.Mark; mark != 0 {
		parts = append(parts, fmt.Sprintf("mark %#x", mark))
	} else if s.Unknown["fwmark"] != "" {
		parts = append(parts, "mark unknown")
	}
	if tos := s.Flow.TOS; tos != 0 {
		parts = append(parts, fmt.Sprintf("tos %#02x", tos))
	}
	return safe(strings.Join(parts, ", "))
}

// unknown says which of the assumptions are about what the kernel does not tell.
func (p *printer) unknown(g socketGroup) {
	if why := g.first.unknown["fwmark"]; why != "" {
		p.wrap(fmt.Sprintf("note: the mark is not known, and none was assumed: %s; \"mark N\" sets one", why))
	}
}

// unexplained lists the sockets that cannot be explained, by reason.
func (p *printer) unexplained(left []socketReason) {
	var reasons []string
	sockets := map[string][]socketSeen{}
	for _, s := range left {
		if !slices.Contains(reasons, s.Reason) {
			reasons = append(reasons, s.Reason)
		}
		sockets[s.Reason] = append(sockets[s.Reason], s.socketSeen)
	}
	for _, reason := range reasons {
		lines := counted(sockets[reason])
		if more := len(lines) - maxSockets; more > 0 {
			lines = append(lines[:maxSockets], fmt.Sprintf("and %d more", more))
		}
		p.printf("\n")
		p.wrap(fmt.Sprintf("not explained, because %s:", reason))
		for _, line := range lines {
			p.printf("  %s\n", line)
		}
	}
}

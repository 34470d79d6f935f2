package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/nft"
)

// hostDoors are the kernel of a network namespace, with what it has in two places:
// rules and routes, and what our table of nftables does to the packets of rules.
type hostDoors struct{ *kernel.Conn }

// Snapshot is that of the kernel, with the translations.
func (d hostDoors) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	s, err := d.Conn.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return s, d.readNAT(ctx, s)
}

// Do makes one change.
func (d hostDoors) Do(ctx context.Context, c rpdb.Change) error {
	if c.NAT == nil {
		return d.Conn.Do(ctx, c)
	}
	conn, err := d.nft()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Replace(ctx, c.NAT.Translations)
}

// changingDoors are for who changes something: what may not be seen cannot be led
// from one generation to the other, and its rules would stand without it.
type changingDoors struct{ hostDoors }

// Snapshot is that of the doors, or an error where it lacks the translations.
func (d changingDoors) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	s, err := d.hostDoors.Snapshot(ctx)
	if err == nil && s.Missing.Has(rpdb.PartNAT) {
		return nil, fmt.Errorf("read translations of nf_tables: %w", unix.EPERM)
	}
	return s, err
}

func (d hostDoors) nft() (*nft.Conn, error) { return nft.Open(nft.Options{NetNS: d.NetNS().FD()}) }

// readNAT adds to a state what nftables holds. The kernel tells it to nobody
// without privilege.
func (d hostDoors) readNAT(ctx context.Context, s *rpdb.Snapshot) error {
	var is nft.State
	conn, err := d.nft()
	if err == nil {
		is, err = conn.Read(ctx)
		conn.Close()
	}
	switch {
	case errors.Is(err, nft.ErrUnsupported): // so there is none
		return nil
	case errors.Is(err, unix.EPERM):
		s.Missing |= rpdb.PartNAT
		return nil
	case err != nil:
		return err
	}
	s.NAT = rpdb.NAT{Translations: rpdb.SortTranslations(is.Translations), Foreign: is.Foreign, Unknown: is.Unknown}
	return nil
}

// natOf is what nftables does to the packets of a rule, "" for nothing, with a
// blank in front.
func natOf(r rpdb.Rule, all []rpdb.Translation) string {
	for _, t := range all {
		if t.Family == r.Family && hasRealm(r, t.Realm) {
			return " " + t.String()
		}
	}
	return ""
}

// hasRealm reports whether a rule is the one whose packets have a realm. Rules of
// IPv6 have none themselves: there the routes of the table have a program for it.
func hasRealm(r rpdb.Rule, realm uint16) bool {
	own, ok := rpdb.RealmOfCopy(r.Action.Table())
	return ok && own == realm && (r.Family == rpdb.IPv6 || r.Realms == rpdb.NewRealms(0, realm))
}

// natWords spells a change of what nftables holds.
func natWords(c rpdb.Change) string {
	if c.Op != rpdb.Replace {
		return translationWords(c.NAT.Translations[0])
	}
	if len(c.NAT.Translations) == 0 {
		return "nftables: without table rpdb"
	}
	var all []string
	for _, t := range c.NAT.Translations {
		all = append(all, translationWords(t))
	}
	return "nftables: table rpdb with " + strings.Join(all, "; ")
}

// translationWords spells a translation: whose packets, by what they are known,
// and what becomes of them.
func translationWords(t rpdb.Translation) string {
	text := t.String()
	if t.From.IsValid() {
		text += " from " + t.From.String()
	}
	if t.Realm != 0 {
		text += fmt.Sprintf(" realm %d", t.Realm)
	}
	if t.Inbound {
		text += ", and inbound"
	}
	if t.NoTrack {
		text += ", notrack"
	}
	return safe(text)
}

// nat prints what our table of nftables holds, if there is one.
func (p *printer) nat(s *rpdb.Snapshot) {
	n := s.NAT
	if n.IsZero() {
		return
	}
	p.printf("nftables table rpdb\n")
	for _, t := range n.Translations {
		p.printf("         %s\n", translationWords(t))
	}
	for _, u := range n.Unknown {
		p.printf("         # %s\n", safe(u))
	}
	if n.Foreign != "" {
		p.printf("         # not ours: %s\n", safe(n.Foreign))
	}
	p.printf("\n")
}

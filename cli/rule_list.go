package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/cli/names"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
	"rpdb/kernel"
)

// list prints the rules of both families, or of the one given, that the words
// choose.
func (r *rules) list(ctx context.Context, words []string) error {
	families, filters, err := r.filters("list", words)
	if err != nil {
		return err
	}
	var text ipcmd.Held
	p := r.printer(ctx, &text)
	chooses := func(rule *rpdb.Rule) bool {
		for i, f := range families {
			if f == rule.Family {
				return filters[i].Empty() || filters[i].Match(*rule)
			}
		}
		return false
	}
	again := func() {
		text = ipcmd.Held{}
		p = r.printer(ctx, &text)
	}
	err = r.eachRule(ctx, families, again, func(rule *rpdb.Rule) error {
		if !chooses(rule) {
			return nil
		}
		return p.print(rule)
	})
	if err != nil {
		return err
	}
	return p.end(&text, r.Out)
}

// eachRule gives the rules of some families to use: those of a file, if one was
// given, else those of the kernel, as [kernel.Socket.EachRule] does.
func (r *rules) eachRule(ctx context.Context, families []rpdb.Family, again func(), use func(*rpdb.Rule) error) error {
	if r.fromFile() {
		s, _, err := r.state(ctx)
		if err != nil {
			return err
		}
		r.forgetNames() // for those of the text
		again()
		for _, f := range families {
			for _, rule := range s.RulesOf(f) {
				if err := use(&rule); err != nil {
					return err
				}
			}
		}
		return nil
	}
	numbers := make([]uint8, len(families))
	for i, f := range families {
		numbers[i] = uint8(f)
	}
	return r.inNetNS(func(o kernel.Options) error {
		socket, err := kernel.OpenSocket(o)
		if err != nil {
			return err
		}
		defer socket.Close()
		err = socket.EachRule(ctx, numbers, again, func(m *kernel.RuleMessage) error { return use(&m.Rule) })
		if err != nil {
			return fmt.Errorf("read rules: %w", err)
		}
		return nil
	})
}

// print writes rules, or rules that were deleted.
func (r *rules) print(ctx context.Context, list []rpdb.Rule, deleted bool) error {
	var text ipcmd.Held
	return r.printer(ctx, &text).all(list, deleted, &text)
}

// all prints rules, or rules that were deleted, and writes them out.
func (p *rulePrinter) all(list []rpdb.Rule, deleted bool, text *ipcmd.Held) error {
	p.view.Deleted = deleted
	for _, rule := range list {
		if err := p.print(&rule); err != nil {
			return err
		}
	}
	return p.end(text, p.Out)
}

// rulePrinter prints rules one after the other, each with its family unless one was
// asked for, and behind it what nftables does to its packets.
type rulePrinter struct {
	*rules
	ctx    context.Context
	names  *names.Reader // nil if all are in the view
	view   iproute2.RuleView
	lister *iproute2.RuleLister // nil before names that may matter are in the view
	to     io.Writer
	json   *ipjson.Writer // nil for text
	line   []byte
	nat    []rpdb.Translation
	hasNAT bool // they were read
}

func (r *rules) printer(ctx context.Context, to io.Writer) *rulePrinter {
	p := &rulePrinter{rules: r, ctx: ctx, to: to, view: iproute2.RuleView{
		Numeric: r.opts.Numeric, Details: r.opts.Details, Family: r.opts.Family == 0,
		Color: r.opts.Palette(r.plain().Out, os.Getenv),
	}}
	if r.opts.JSON {
		p.json = ipjson.NewWriter(to, r.opts.Pretty)
	}
	if r.textNames != nil {
		p.view.Names = *r.textNames
	} else {
		p.names = r.files().Reader()
		p.view.Names = withOurs(rpdb.Names{})
	}
	return p
}

// print prints one rule.
func (p *rulePrinter) print(r *rpdb.Rule) error {
	if p.readNames(r) || p.lister == nil {
		p.lister = iproute2.NewRuleLister(p.view)
	}
	nat, err := p.natOf(r)
	if err != nil {
		return err
	}
	if p.json == nil {
		p.line = append(append(p.lister.AppendText(p.line[:0], r), nat...), '\n')
		_, err = p.to.Write(p.line)
		return err
	}
	p.json.Begin()
	p.lister.Fields(r, p.json)
	if nat != "" {
		p.json.String("nat", "", strings.TrimPrefix(nat, " nat "))
	}
	p.json.End()
	return nil
}

// end ends the list, which may be empty, and writes it out.
func (p *rulePrinter) end(text *ipcmd.Held, to io.Writer) error {
	if p.json != nil {
		if err := p.json.Close(); err != nil {
			return err
		}
	}
	_, err := text.WriteTo(to)
	return err
}

// readNames reads the files that may have names of what is printed of a rule, and
// reports whether it read any: a list of three rules needs one of six.
func (p *rulePrinter) readNames(r *rpdb.Rule) (read bool) {
	if p.names == nil || p.view.Numeric {
		return false
	}
	need := func(kind rttables.Kind, is bool) { read = is && p.names.Need(kind) || read }
	need(rttables.Tables, r.Action.Table() != 0)
	need(rttables.Groups, r.Suppress.IfGroup.IsSet())
	need(rttables.Realms, r.Realms != 0)
	need(rttables.DSFields, r.Selector.TOS != 0 || r.Selector.DSCP.IsSet())
	need(rttables.Protocols, p.view.Details || r.Protocol != rpdb.ProtocolUnspec && r.Protocol != rpdb.ProtocolKernel)
	if read {
		p.view.Names = withOurs(p.names.Names())
	}
	return read
}

// natOf is what nftables does to the packets of a rule. The translations are read
// for the first rule that looks as if it had one; to those who may not read them
// there are none.
func (p *rulePrinter) natOf(r *rpdb.Rule) (string, error) {
	if realm, ok := rpdb.RealmOfCopy(r.Action.Table()); !ok || !hasRealm(*r, realm) {
		return "", nil
	}
	if !p.hasNAT {
		var err error
		if p.nat, err = p.translations(p.ctx); err != nil {
			return "", err
		}
		p.hasNAT = true
	}
	return natOf(*r, p.nat), nil
}

// translations returns what nftables does.
func (r *rules) translations(ctx context.Context) ([]rpdb.Translation, error) {
	if r.fromFile() {
		state, _, err := r.state(ctx)
		if err != nil {
			return nil, err
		}
		return state.NAT.Translations, nil
	}
	conn, err := r.open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var s rpdb.Snapshot
	err = hostDoors{conn}.readNAT(ctx, &s)
	return s.NAT.Translations, err
}

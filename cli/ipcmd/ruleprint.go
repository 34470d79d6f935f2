package ipcmd

import (
	"io"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
	"rpdb/kernel"
)

// rulePrinter prints rules one after the other, as text or as one JSON array,
// and holds none of them.
type rulePrinter struct {
	*session
	view   iproute2.RuleView
	lister *iproute2.RuleLister // nil as long as nothing was printed
	to     io.Writer
	json   *ipjson.Writer // nil for text
	line   []byte

	// Of the rules of a dump alone.
	decoder kernel.RuleDecoder
	stream  *iproute2.RuleStream
}

// rulePrinter returns a printer of rules, or of rules that are gone.
func (s *session) rulePrinter(deleted bool) *rulePrinter { return s.rulePrinterTo(s.out, deleted) }

// rulePrinterTo returns one that does not print to standard output.
func (s *session) rulePrinterTo(to io.Writer, deleted bool) *rulePrinter {
	p := &rulePrinter{session: s, to: to, view: iproute2.RuleView{
		Numeric: s.opts.Numeric, Details: s.opts.Details, Raw: true, Deleted: deleted,
		Color: s.palette(), State: &s.names.state, IPProto: s.names.ipProto(s.Stderr),
	}}
	if s.opts.JSON {
		p.json = ipjson.NewWriter(to, s.opts.Pretty)
	}
	return p
}

// rename takes the names over that are known by now.
func (p *rulePrinter) rename() {
	if !p.view.Numeric {
		p.view.Names = p.names.db.Names()
	}
	p.lister = iproute2.NewRuleLister(p.view)
	if p.stream != nil {
		p.stream.Forget()
	}
}

// Read, Print and Repeat are for the stream. What becomes of standard output is
// noticed at the end.
func (p *rulePrinter) Read(payload []byte) (*rpdb.Rule, error) { return p.decoder.Decode(payload) }

func (p *rulePrinter) Print(r *rpdb.Rule) ([]byte, error) {
	p.print(r)
	if p.json != nil {
		return p.json.Last(), nil
	}
	return p.line, nil
}

func (p *rulePrinter) Repeat(text []byte) error {
	if p.json != nil {
		p.json.Again(text)
	} else {
		p.to.Write(text)
	}
	return nil
}

// print prints one rule.
func (p *rulePrinter) print(r *rpdb.Rule) {
	if p.readNames(r) || p.lister == nil {
		p.rename()
	}
	if p.json != nil {
		p.json.Begin()
		p.lister.Fields(r, p.json)
		p.json.End()
		return
	}
	p.line = append(p.lister.AppendText(p.line[:0], r), '\n')
	p.to.Write(p.line) // an error of standard output is noticed at the end
}

// close ends the list, which may be empty.
func (p *rulePrinter) close() {
	if p.json != nil {
		_ = p.json.Close() // an error of standard output is noticed at the end
	}
}

// readNames reads the files that may have names of what is printed of a rule,
// in the order in which ip would, and reports whether it read any. Those of
// tables and groups ip reads for numbers as well.
func (p *rulePrinter) readNames(r *rpdb.Rule) (read bool) {
	need := func(kind rttables.Kind) { read = p.names.load(kind, p.Stderr) || read }
	named := !p.view.Numeric
	if named && r.Selector.TOS != 0 {
		need(rttables.DSFields)
	}
	if r.Action.Table() != 0 {
		need(rttables.Tables)
		if r.Suppress.IfGroup.IsSet() {
			need(rttables.Groups)
		}
	}
	if named && (isByte(r.Realms.From()) || isByte(r.Realms.To())) {
		need(rttables.Realms)
	}
	if named && !builtinName(r.Protocol) {
		need(rttables.Protocols)
	}
	if dscp, _ := r.Selector.DSCP.Get(); named && dscp.Value != 0 {
		need(rttables.DSFields)
	}
	return read
}

// isByte reports whether a realm may have a name in a file.
func isByte(realm uint16) bool { return 0 < realm && realm <= 255 }

// builtinName reports whether a protocol has a name without a file.
func builtinName(p rpdb.Protocol) bool { return !isNumber(rpdb.Names{}.Protocol(p)) }

// isNumber reports whether a number stands in the place of a name.
func isNumber(name string) bool { return '0' <= name[0] && name[0] <= '9' }

package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a document. They keep the worst file under 64 MiB of memory and a
// second of time; the largest sensible one stays far below them.
const (
	maxSize  = 1 << 20 // bytes
	maxDepth = 16      // levels of indentation or of brackets; the format has nine
	// maxMarks bounds the characters that can begin a value, and so the
	// number of nodes that the parser builds before we see any.
	maxMarks = 150_000

	maxUplinks  = 256
	maxTables   = 500
	maxRules    = 5000
	maxRoutes   = 10_000 // in each table
	maxNexthops = 32
	maxBeside   = 256 // pinned rules of one priority
)

// source is the text of a file, by lines.
type source struct {
	lines []string
}

func newSource(data []byte) source {
	text := strings.TrimPrefix(string(data), "\ufeff")
	return source{lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
}

// clamp moves a position into the file: the YAML parser reports the end of the
// file as the line behind it.
func (s source) clamp(p Position) Position {
	p.Line = min(max(p.Line, 1), len(s.lines))
	p.Column = min(max(p.Column, 1), utf8.RuneCountInString(s.lines[p.Line-1])+1)
	return p
}

// rest returns the text of a line from a position on.
func (s source) rest(p Position) string {
	p = s.clamp(p)
	column := 1
	for i := range s.lines[p.Line-1] {
		if column == p.Column {
			return strings.TrimRight(s.lines[p.Line-1][i:], " ")
		}
		column++
	}
	return ""
}

// load checks the bytes and returns the root node of the one document in them,
// nil after errors.
func (p *parser) load(data []byte) *yaml.Node {
	if len(data) > maxSize {
		p.report(Error{
			Position: Position{1, 1}, Object: "file",
			Reason: fmt.Sprintf("%d bytes are more than the %d that a policy may have", len(data), maxSize),
		})
		return nil
	}
	if !p.checkText(data) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(depthLimit{}))
	if err != nil {
		p.syntaxError(err)
		return nil
	}
	root := p.loadOne(loader)
	if root != nil {
		p.refuseSecond(loader)
	}
	return root
}

// loadOne reads the first document.
func (p *parser) loadOne(loader *yaml.Loader) *yaml.Node {
	var doc yaml.Node
	err := loader.Load(&doc)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		p.syntaxError(err)
		return nil
	case err != nil || len(doc.Content) != 1 || isNull(doc.Content[0]):
		p.report(Error{Position: Position{1, 1}, Object: "file", Reason: "the document is empty", Hint: `a policy that wants nothing is "version: 1"`})
		return nil
	}
	return doc.Content[0]
}

// refuseSecond reports a second document, or what is wrong with it.
func (p *parser) refuseSecond(loader *yaml.Loader) {
	var doc yaml.Node
	err := loader.Load(&doc)
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.syntaxError(err)
	default:
		at := p.src.clamp(Position{doc.Line, doc.Column})
		p.report(Error{Position: at, Object: "document", Text: p.src.rest(at), Reason: "a second document begins here, and a policy is one"})
	}
}

// syntaxError reports what the YAML parser says.
func (p *parser) syntaxError(err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		p.report(Error{Position: Position{1, 1}, Object: "syntax", Reason: err.Error()})
		return
	}
	mark := le.Mark
	if strings.Contains(le.Message, "unexpected end of stream") && le.ContextMark.Line > 0 {
		mark = le.ContextMark // where the quote opens says more than where the file ends
	}
	at := p.src.clamp(Position{mark.Line, mark.Column})
	text := p.src.rest(at)
	reason, hint := le.Message, ""
	switch {
	case strings.HasPrefix(text, "\t"):
		reason, hint = "a tab cannot indent", "indent with spaces"
	case strings.HasPrefix(text, "@") || strings.HasPrefix(text, "`"):
		hint = "put the value in quotes"
	case strings.Contains(reason, "mapping values are not allowed"):
		hint = "a value that holds a colon and a space, or ends in a colon, needs quotes; else check the indentation"
	case strings.HasPrefix(text, ":"):
		hint = colonHint
	}
	p.report(Error{Position: at, Object: "syntax", Text: text, Reason: reason, Hint: hint})
}

// depthLimit bounds the nesting while the text is read.
type depthLimit struct{}

// CheckDepth refuses what no policy needs.
func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

// CheckAlias accepts: aliases are refused later, unexpanded, with their place.
func (depthLimit) CheckAlias(int, int) error { return nil }

// checkText reports the first byte that cannot stand in a policy, or too many
// values. YAML takes some control characters as line breaks; those would make
// our line numbers differ from an editor's.
func (p *parser) checkText(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	at, marks := Position{1, 1}, 0
	for i := 0; i < len(data); {
		r, size := rune(data[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(data[i:])
		}
		if reason := refusedRune(r, size, data[i:]); reason != "" {
			p.report(Error{Position: at, Object: "text", Text: string(data[i : i+size]), Reason: reason})
			return false
		}
		at.Column++
		if r == '\n' {
			at.Line, at.Column = at.Line+1, 1
		}
		if isMark(r) {
			marks++
		}
		i += size
	}
	if marks > maxMarks {
		p.report(Error{Position: Position{1, 1}, Object: "file", Reason: "more values than a policy may have", Hint: fmt.Sprintf("a policy has at most %d rules", maxRules)})
		return false
	}
	return true
}

// isMark reports whether a value may begin behind the character.
func isMark(r rune) bool {
	switch r {
	case '\n', ',', '[', '{', ':', '-', '?':
		return true
	}
	return false
}

// refusedRune says why a character cannot stand in a policy, "" if it can.
func refusedRune(r rune, size int, rest []byte) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "not UTF-8"
	case r == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
		return "a carriage return without a line feed"
	case r == '\n', r == '\t', r == '\r':
		return ""
	case r < ' ', r >= 0x7f && r <= 0x9f, r == '\u2028', r == '\u2029', r == '\ufeff':
		return "a control character"
	}
	return ""
}

package analysis

import (
	"strconv"
	"strings"

	"rpdb"
)

// Name returns the name of an interface as it may be printed: any byte that is
// not printable ASCII, and a quote or backslash, is written as an escape. The
// kernel accepts almost any byte in a name.
func Name(l rpdb.LinkName) string {
	quoted := strconv.QuoteToASCII(string(l))
	return quoted[1 : len(quoted)-1]
}

// Table names a table for messages, as in "table main" or "table 1001".
func Table(t rpdb.TableID) string { return "table " + rpdb.Names{}.Table(t) }

// PackageDoc returns the package comment of a doc.go, for the Doc of an
// analyzer: what follows the words "Package NAME", without the slashes. It is
// "" if the source has no such comment.
func PackageDoc(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "//")
		if !ok {
			break
		}
		b.WriteString(strings.TrimPrefix(text, " "))
		b.WriteByte('\n')
	}
	doc, ok := strings.CutPrefix(strings.TrimSpace(b.String()), "Package ")
	if !ok {
		return ""
	}
	_, doc, _ = strings.Cut(doc, " ")
	return doc
}

// Title returns the first sentence of an analyzer's documentation on one line,
// without its full stop.
func Title(a *Analyzer) string {
	text := strings.Join(strings.Fields(a.Doc), " ")
	title, _, _ := strings.Cut(text+" ", ". ")
	return strings.TrimSpace(title)
}

package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// roff writes text as it stands in a manual page.
func roff(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}

// prose is roff for running text, in which a hyphen is a hyphen and only an
// option has a minus. A line must not begin with what begins a request.
func prose(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "'", `\(aq`, " -", ` \-`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "-") {
		text = `\&` + text
	}
	return text
}

func bold(text string) string   { return `\fB` + roff(text) + `\fR` }
func italic(text string) string { return `\fI` + roff(text) + `\fR` }

// grammar sets a usage line: what is typed as it stands bold, what is replaced
// italic, brackets and bars upright.
func grammar(line string) string {
	words := regexp.MustCompile(`[A-Z][A-Z_-]*|[a-z0-9][a-z0-9_-]*|-+[A-Za-z0-9-]+|.`)
	return words.ReplaceAllStringFunc(line, func(w string) string {
		switch {
		case strings.ContainsAny(w[:1], "[]|{} .,"):
			return w
		case strings.ToUpper(w) == w && strings.ToLower(w) != w && len(w) > 1:
			return italic(w)
		}
		return bold(w)
	})
}

// inline sets a line of Markdown: code and bold are bold, pages of the manual
// too.
func inline(line string) string {
	line = regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(line, "]")
	parts := strings.Split(line, "`")
	for i, part := range parts {
		if i%2 == 1 {
			parts[i] = bold(part)
			continue
		}
		part = regexp.MustCompile(`\*\*([^*]*)\*\*`).ReplaceAllString(prose(part), `\fB$1\fR`)
		parts[i] = regexp.MustCompile(`\b([a-z][a-z_-]*)\(([1-8])\)`).ReplaceAllStringFunc(part, func(page string) string {
			name, section, _ := strings.Cut(page, "(")
			return bold(name) + "(" + section
		})
	}
	line = strings.Join(parts, "")
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
		line = `\&` + line
	}
	return line
}

// markdown turns a document of ours into the body of a manual page: headings,
// paragraphs, lists, fenced and indented code, and tables of keys. Its title
// is left out, since a page has a NAME.
type markdown struct {
	out  []string
	open bool // a paragraph or an item is being filled
}

func manBody(document string) string {
	var m markdown
	lines := strings.Split(document, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```"):
			end := i + 1 + slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.HasPrefix(l, "```") })
			m.code(lines[i+1 : end])
			i = end
		case strings.HasPrefix(line, "    ") && !m.open:
			end := i + 1
			for end < len(lines) && strings.HasPrefix(lines[end], "    ") {
				end++
			}
			code := slices.Clone(lines[i:end])
			for j := range code {
				code[j] = code[j][4:]
			}
			m.code(code)
			i = end - 1
		default:
			m.line(line)
		}
	}
	return strings.Join(m.out, "\n") + "\n"
}

// put adds lines, but no paragraph where a heading begins one.
func (m *markdown) put(lines ...string) {
	if n := len(m.out); lines[0] == ".PP" && n > 0 && strings.HasPrefix(m.out[n-1], ".S") {
		lines = lines[1:]
	}
	m.out = append(m.out, lines...)
}

// code sets an example, indented.
func (m *markdown) code(lines []string) {
	m.put(".PP", ".RS 4", ".EX")
	for _, line := range lines {
		line = roff(line)
		if strings.HasPrefix(line, ".") || line == "" {
			line = `\&` + line
		}
		m.put(line)
	}
	m.put(".EE", ".RE")
	m.open = false
}

func (m *markdown) line(line string) {
	item := regexp.MustCompile(`^(-|[0-9]+\.) +(.*)$`).FindStringSubmatch(line)
	switch {
	case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "<!--") || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "|---"):
		m.open = false
	case strings.HasPrefix(line, "### "):
		m.put(".SS " + inline(line[4:]))
		m.open = false
	case strings.HasPrefix(line, "## "):
		m.put(".SH " + strings.ToUpper(inline(line[3:])))
		m.open = false
	case strings.HasPrefix(line, "|"):
		m.row(strings.Split(strings.Trim(line, "|"), " | "))
	case item != nil && item[1] == "-":
		m.put(`.IP \(bu 2`)
		m.put(sentences(inline(item[2]))...)
		m.open = true
	case item != nil:
		m.put(".IP " + item[1] + " 4")
		m.put(sentences(inline(item[2]))...)
		m.open = true
	default:
		if !m.open {
			m.put(".PP")
		}
		m.put(sentences(inline(strings.TrimSpace(line)))...)
		m.open = true
	}
}

// sentences begins each sentence on a line of its own, as roff wants it.
func sentences(line string) []string {
	return strings.Split(regexp.MustCompile(`([a-z)R0-9][.?]) ([A-Z])`).ReplaceAllString(line, "$1\n$2"), "\n")
}

// row sets a row of a table of keys; the heading needs none.
func (m *markdown) row(cells []string) {
	if strings.TrimSpace(cells[0]) == "key" {
		return
	}
	m.put(".TP", fmt.Sprintf("%s: %s", inline(strings.TrimSpace(cells[0])), inline(strings.TrimSpace(cells[1]))))
	for sentence := range strings.SplitSeq(strings.TrimSpace(cells[2]), "; ") {
		m.put(inline(sentence) + ";")
	}
	last := len(m.out) - 1
	m.out[last] = strings.TrimSuffix(m.out[last], ";") + "."
	m.open = false
}

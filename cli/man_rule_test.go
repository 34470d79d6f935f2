package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/iproute2"
)

// ruleBlock makes a block of rpdb-rule.8 from the grammar.
func ruleBlock(kind, rest string) (block string, ok bool) {
	switch kind {
	case "rule-synopsis":
		return ruleSynopsis(), true
	case "keyword":
		return keywordHead(".TP", rest, ruleGrammar(iproute2.RuleAdd)), true
	case "keyword-too":
		return keywordHead(".TQ", rest, ruleGrammar(iproute2.RuleAdd)), true
	case "other-actions":
		return otherActions(), true
	case "filters":
		return filterWords(manGrammar{allFilters(), ruleWords()}), true
	case "abbreviations":
		return abbreviationTable(
			abbreviated{"add, delete", iproute2.RuleKeywords(iproute2.RuleAdd)},
			abbreviated{"list, flush", allFilters()},
		), true
	}
	return "", false
}

// ruleSynopsis is the usage of "rpdb rule", and the grammar behind it.
func ruleSynopsis() string {
	return synopsisOf(ruleUsage, iproute2.RuleHelp(), "SELECTOR :=")
}

// synopsisOf is the usage of our own form, and the grammar of ip behind it,
// from the first of its definitions on.
func synopsisOf(usage, help, first string) string {
	usage, _, _ = strings.Cut(usage, "\n\n")
	_, definitions, _ := strings.Cut(help, first)
	var b strings.Builder
	for line := range strings.SplitSeq(usage, "\n") {
		b.WriteString(grammar(strings.TrimSpace(strings.TrimPrefix(line, "Usage:"))) + "\n")
	}
	b.WriteString(".PP\n")
	for line := range strings.Lines(first + definitions) {
		b.WriteString(grammar(strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}

// manGrammar is the words of one verb, and those of them that completion offers
// first.
type manGrammar struct {
	keywords []iproute2.Keyword
	offered  []fieldWords
}

func ruleGrammar(v iproute2.RuleVerb) manGrammar {
	return manGrammar{iproute2.RuleKeywords(v), ruleWords()}
}

// allFilters are the words of list and flush.
func allFilters() []iproute2.Keyword {
	return append(iproute2.WideFilterKeywords(), iproute2.RuleKeywords(iproute2.RuleList)...)
}

// wordsOf returns the words of a field, the one that completion offers first.
func (g manGrammar) wordsOf(field string) (words []string, value iproute2.ValueKind) {
	keywords := g.keywords
	for _, offered := range g.offered {
		if offered.field == field {
			words = strings.Fields(offered.words)
		}
	}
	words = slices.DeleteFunc(words, func(w string) bool {
		return !slices.ContainsFunc(keywords, func(k iproute2.Keyword) bool { return k.Word == w })
	})
	for _, k := range keywords {
		if k.Field == field {
			value = k.Value
			if !slices.Contains(words, k.Word) {
				words = append(words, k.Word)
			}
		}
	}
	return words, value
}

// keywordHead is the tag of a keyword: all its words, and what follows.
func keywordHead(macro, field string, g manGrammar) string {
	words, value := g.wordsOf(field)
	for i, w := range words {
		words[i] = bold(w)
	}
	head := strings.Join(words, ", ")
	if placeholder := strings.TrimSuffix(strings.TrimPrefix(value.String(), "[ "), " ]"); placeholder != "" {
		head += " " + grammar(placeholder)
	}
	return macro + "\n" + head + "\n"
}

// otherActions lists the words for actions that are no actions of rules.
func otherActions() string {
	var words []string
	for _, k := range iproute2.RuleKeywords(iproute2.RuleAdd) {
		var a rpdb.RouteType
		if err := a.UnmarshalText([]byte(k.Field)); err == nil && !isAction(k) && !slices.Contains(words, bold(k.Word)) {
			words = append(words, bold(k.Word))
		}
	}
	return strings.Join(words, ",\n") + ".\n"
}

func filterWords(g manGrammar) string {
	var b strings.Builder
	b.WriteString(".RS\n.nf\n")
	var seen []string
	for _, k := range g.keywords {
		if slices.Contains(seen, k.Field) {
			continue
		}
		seen = append(seen, k.Field)
		words, value := g.wordsOf(k.Field)
		for i, w := range words {
			words[i] = bold(w)
		}
		placeholder := strings.TrimSuffix(strings.TrimPrefix(value.String(), "[ "), " ]")
		b.WriteString(strings.TrimSpace(strings.Join(words, " | ")+" "+grammar(placeholder)) + "\n")
	}
	b.WriteString(".fi\n.RE\n")
	return b.String()
}

// shortest returns the shortest beginning of a word that means its field.
func shortest(word string, keywords []iproute2.Keyword) string {
	i := slices.IndexFunc(keywords, func(k iproute2.Keyword) bool { return k.Word == word })
	if i < 0 {
		return ""
	}
	for n := 1; n < len(word); n++ {
		j := slices.IndexFunc(keywords, func(k iproute2.Keyword) bool {
			return k.Word == word[:n] || k.Prefix && strings.HasPrefix(k.Word, word[:n])
		})
		if j >= 0 && keywords[j].Field == keywords[i].Field {
			return word[:n]
		}
	}
	return word
}

// abbreviated is a column of the table of abbreviations.
type abbreviated struct {
	head     string
	keywords []iproute2.Keyword
}

// abbreviationTable says how short each keyword may be.
func abbreviationTable(columns ...abbreviated) string {
	var words []string
	for _, c := range columns {
		for _, k := range c.keywords {
			if k.Prefix && !slices.Contains(words, k.Word) {
				words = append(words, k.Word)
			}
		}
	}
	slices.Sort(words)
	var b strings.Builder
	b.WriteString(".TS\n" + strings.TrimSpace(strings.Repeat("l ", len(columns)+1)) + ".\n\\fIkeyword\\fR")
	for _, c := range columns {
		b.WriteString("\t" + italic(c.head))
	}
	b.WriteString("\n")
	for _, w := range words {
		row := []string{bold(w)}
		for _, c := range columns {
			if short := shortest(w, c.keywords); short != "" {
				row = append(row, bold(short))
			} else {
				row = append(row, `\-`)
			}
		}
		b.WriteString(strings.Join(row, "\t") + "\n")
	}
	b.WriteString(".TE\n")
	return b.String()
}

// TestShortest asks for traps that ip is known for.
func TestShortest(t *testing.T) {
	adds, lists := iproute2.RuleKeywords(iproute2.RuleAdd), allFilters()
	for word, want := range map[string][2]string{
		"priority": {"p", "p"}, "protocol": {"pro", "pro"}, "table": {"ta", "ta"}, "tun_id": {"t", "t"},
		"lookup": {"lookup", "l"}, "suppress_ifgroup": {"suppress_i", "suppress_ifgroup"}, "blackhole": {"bl", "blackhole"}, "from": {"from", "f"},
	} {
		if got := [2]string{shortest(word, adds), shortest(word, lists)}; got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

// manWords returns the words of a section of a page.
func manWords(page, section string) []string {
	_, rest, _ := strings.Cut(page, "\n.SH "+section+"\n")
	text, _, _ := strings.Cut(rest, "\n.SH ")
	return strings.Fields(strings.NewReplacer(`\fB`, " ", `\fR`, " ", `\fI`, " ", `\-`, "-", `"`, " ", ",", " ").Replace(text))
}

// TestRuleManPageIsComplete looks for every word of the grammar, every verb and
// every option.
func TestRuleManPageIsComplete(t *testing.T) {
	page := manPage(t, "rpdb-rule.8")
	commands, keywords, options := manWords(page, "COMMANDS"), manWords(page, "KEYWORDS"), manWords(page, "OPTIONS")
	for _, verb := range ownRuleVerbs() {
		if !slices.Contains(commands, verb.word) {
			t.Errorf("no command %q", verb.word)
		}
	}
	for _, verb := range iproute2.RuleVerbs() {
		if !slices.Contains(commands, verb) {
			t.Errorf("no command %q", verb)
		}
	}
	for _, verb := range []iproute2.RuleVerb{iproute2.RuleAdd, iproute2.RuleDelete, iproute2.RuleList, iproute2.RuleFlush} {
		for _, k := range iproute2.RuleKeywords(verb) {
			if !slices.Contains(keywords, k.Word) && k.Field != "help" {
				t.Errorf("%v: no keyword %q", verb, k.Word)
			}
		}
	}
	for _, option := range ipOptions() {
		if !slices.Contains(options, option[0]) && !slices.Contains(options, option[0]+"[=always") {
			t.Errorf("no option %q", option[0])
		}
	}
}

// TestRuleManPageExitStatus compares the exit codes that the page lists with
// those in the sources of the compatible commands.
func TestRuleManPageExitStatus(t *testing.T) {
	codes := map[int]bool{exitOK: true, exitTrouble: true, exitWaiting: true}
	for _, dir := range []string{"ipcmd", "../format/iproute2"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				addExitCodes(t, file, codes)
			}
		}
	}
	var want []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		want = append(want, strconv.Itoa(code))
	}
	if listed := exitCodesOf(manPage(t, "rpdb-rule.8")); !slices.Equal(listed, want) {
		t.Errorf("rpdb-rule.8 lists the exit codes %v, the sources have %v", listed, want)
	}
}

// addExitCodes collects the first arguments of exit and fail, and constants
// named exit....
func addExitCodes(t *testing.T, file string, codes map[int]bool) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.INT {
			code, _ := strconv.Atoi(lit.Value)
			codes[code] = true
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "exit" || f.Name == "fail") && len(n.Args) > 0 {
				add(n.Args[0])
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(name.Name, "exit") && i < len(n.Values) {
					add(n.Values[i])
				}
			}
		}
		return true
	})
}

// understandsObject reports what "rpdb rule", "rpdb route" or "rpdb ip" does not
// understand.
func understandsObject(name string, args []string) error {
	// A namespace of an example does not exist here.
	line := regexp.MustCompile(`(^| )-n [a-z]+`).ReplaceAllString(strings.Join(args, " "), "")
	opts, words, err := ipcmd.ParseOptions(strings.Fields(line))
	if err != nil {
		return err
	}
	if name == "ip" && len(words) > 0 {
		name, words = words[0], words[1:]
	}
	switch name {
	case "rule":
		return understandsRule(opts, words)
	case "route":
		return understandsRoute(opts, words)
	case "monitor":
		return nil
	}
	return fmt.Errorf("object %q is not of rpdb", name)
}

func understandsRule(opts ipcmd.Options, words []string) (err error) {
	if len(words) == 0 {
		return nil
	}
	r := (&app{}).newRules()
	r.opts = opts
	c := iproute2.RuleContext{Family: rpdb.Family(opts.Family)}
	switch verb := words[0]; verb {
	case "ensure", "replace", "test", "add", "delete":
		_, err = r.read(verb, words[1:])
	case "list", "show", "flush":
		_, err = c.ParseWideFilter(words[1:])
	default:
		_, err = iproute2.ParseRuleVerb(verb)
	}
	return err
}

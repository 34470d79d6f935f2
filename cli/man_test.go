package cli

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manDir = "../docs/man"

// manPage reads a page of the manual.
func manPage(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(manDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestManPages keeps what the pages say of commands, flags and keys equal to the
// program; with UPDATE_GOLDEN=1 it writes that.
func TestManPages(t *testing.T) {
	policy, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"rpdb-policy.5": policyPage(string(policy))}
	commands, _ := filepath.Glob(filepath.Join(manDir, "*.8"))
	for _, file := range commands {
		name := filepath.Base(file)
		want[name] = withBlocks(t, manPage(t, name))
	}
	for name, text := range want {
		file := filepath.Join(manDir, name)
		have, err := os.ReadFile(file)
		switch {
		case err == nil && string(have) == text:
		case os.Getenv("UPDATE_GOLDEN") == "":
			t.Errorf("%s is stale: go generate ./cli (%v)", file, err)
		default:
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

// withBlocks writes each block of a page between its two marks.
func withBlocks(t *testing.T, page string) string {
	t.Helper()
	marks := regexp.MustCompile(`(?m)^\.\\" made: (.*)\n((?:.*\n)*?)\.\\" end\n`)
	return marks.ReplaceAllStringFunc(page, func(block string) string {
		name := marks.FindStringSubmatch(block)[1]
		text, err := manBlock(name)
		if err != nil {
			t.Errorf("block %q: %v", name, err)
		}
		return fmt.Sprintf(".\\\" made: %s\n%s.\\\" end\n", name, text)
	})
}

// manBlock makes one block of a page, by its name.
func manBlock(name string) (string, error) {
	root := manRoot()
	kind, rest, _ := strings.Cut(name, " ")
	if block, ok := ruleBlock(kind, rest); ok {
		return block, nil
	}
	if block, ok := routeBlock(kind, rest); ok {
		return block, nil
	}
	cmd, _, err := root.Find(strings.Fields(rest))
	if err != nil {
		return "", err
	}
	switch kind {
	case "synopsis":
		return synopsis(cmd), nil
	case "options":
		return flagItems(root.PersistentFlags()), nil
	case "command":
		return commandHead(cmd), nil
	case "flags":
		flags := flagItems(cmd.LocalNonPersistentFlags())
		for _, sub := range cmd.Commands() { // of completion: each shell has the same
			flags = flagItems(sub.LocalNonPersistentFlags())
		}
		return flags, nil
	case "flow":
		return flowItems(), nil
	}
	return "", fmt.Errorf("no such kind of block")
}

// manRoot is the tree of commands with those that cobra adds.
func manRoot() *cobra.Command {
	root := (&app{}).rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpFlag()
	return root
}

// usage is how a command is called.
func usage(cmd *cobra.Command) string {
	use := cmd.Use
	if cmd.HasSubCommands() && cmd.HasParent() {
		var words []string
		for _, sub := range cmd.Commands() {
			words = append(words, sub.Name())
		}
		use += " {" + strings.Join(words, " | ") + "}"
	}
	return use
}

// synopsis is how the commands below one are called.
func synopsis(parent *cobra.Command) string {
	group := strings.TrimPrefix(strings.TrimPrefix(parent.CommandPath(), "rpdb"), " ")
	var b strings.Builder
	for _, cmd := range parent.Commands() {
		fmt.Fprintf(&b, "%s [%s] %s\n", bold("rpdb"), italic("OPTIONS"), grammar(strings.TrimSpace(group+" "+usage(cmd))))
	}
	return b.String()
}

// commandHead is the title of a command's section, and what it does in one
// sentence.
func commandHead(cmd *cobra.Command) string {
	text := sentence(cmd.Short)
	if !strings.HasSuffix(text, "?") {
		text += "."
	}
	return fmt.Sprintf(".SS %s\n%s\n", grammar(usage(cmd)), text)
}

// sentence begins a text with a capital letter.
func sentence(text string) string { return strings.ToUpper(text[:1]) + prose(text[1:]) }

// flagItems are the items of flags. All commands have --help.
func flagItems(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		if f.Value.Type() == "duration" && f.DefValue != "0s" {
			text += " (default " + f.DefValue + ")" // as --help has it
		}
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			b.WriteString(bold("-"+f.Shorthand) + ", ")
		}
		b.WriteString(bold("--" + f.Name))
		if value != "" {
			b.WriteString(" " + italic(strings.ToUpper(value)))
		}
		fmt.Fprintf(&b, "\n%s.\n", sentence(text))
	})
	return b.String()
}

func flowItems() string {
	var b strings.Builder
	values := map[string]string{"to": "ADDRESS", "from": "ADDRESS", "iif": "NAME", "oif": "NAME", "ipproto": "NAME|N", "connect": "", "sendto": "", "forwarded": "", "dscp": "N|NAME"}
	for _, w := range flowWords() {
		value, ok := values[w.word]
		if !ok {
			value = "N"
		}
		head := strings.TrimSpace(bold(w.word) + " " + grammar(value))
		if w.word == "to" {
			head = "[" + bold("to") + "] " + grammar(value)
		}
		fmt.Fprintf(&b, ".TP\n%s\n%s.\n", head, sentence(w.about))
	}
	return b.String()
}

// policyPage makes the manual page of the policy document from its reference.
func policyPage(reference string) string {
	return `.\" Made from docs/policy.md: go generate ./cli.
.TH RPDB\-POLICY 5 2026-11-21 rpdb "File Formats"
.SH NAME
rpdb\-policy \- the policy document of rpdb
.SH DESCRIPTION
` + strings.TrimPrefix(manBody(reference), ".PP\n") + `.SH SEE ALSO
.BR rpdb (8),
.BR rpdb\-rule (8),
.BR ip\-rule (8),
.BR ip\-route (8)
`
}

// TestManPagesAreComplete looks for everything that the program has.
func TestManPagesAreComplete(t *testing.T) {
	page := manPage(t, "rpdb.8")
	root := manRoot()
	for _, cmd := range root.Commands() {
		if n := strings.Count(page, "\n"+`.\" made: command `+cmd.Name()+"\n"); n != 1 {
			t.Errorf("rpdb.8: %d sections about %q", n, cmd.Name())
		}
		checkFlagsAreIn(t, page, cmd)
		for _, sub := range cmd.Commands() {
			checkFlagsAreIn(t, page, sub)
		}
	}
	checkFlagsAreIn(t, page, root)
	for word := range strings.FieldsSeq(flowUsage) {
		if word = strings.Trim(word, "[]|N"); word != "" && !strings.Contains(page, roff(word)) {
			t.Errorf("rpdb.8: no flow word %q", word)
		}
	}
}

func checkFlagsAreIn(t *testing.T, page string, cmd *cobra.Command) {
	t.Helper()
	flags := cmd.LocalNonPersistentFlags()
	if !cmd.HasParent() {
		flags = cmd.PersistentFlags()
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !strings.Contains(page, bold("--"+f.Name)) {
			t.Errorf("rpdb.8: no option --%s of %q", f.Name, cmd.CommandPath())
		}
	})
}

// TestManPageExitStatus compares the exit codes that the page lists with the
// constants of the program, and with what its help says.
func TestManPageExitStatus(t *testing.T) {
	listed := exitCodesOf(manPage(t, "rpdb.8"))
	if want := exitConstants(t); !slices.Equal(listed, want) {
		t.Errorf("rpdb.8 lists the exit codes %v, the program has %v", listed, want)
	}
	_, codes, _ := strings.Cut(rootLong, "Exit codes: ")
	if inHelp := regexp.MustCompile(`\b[0-9]\b`).FindAllString(codes, -1); !slices.Equal(listed, inHelp) {
		t.Errorf("rpdb.8 lists the exit codes %v, rpdb help %v", listed, inHelp)
	}
}

// exitCodesOf returns the codes that a page explains under EXIT STATUS.
func exitCodesOf(page string) []string {
	_, rest, _ := strings.Cut(page, "\n.SH EXIT STATUS\n")
	section, _, _ := strings.Cut(rest, "\n.SH ")
	var codes []string
	for _, item := range regexp.MustCompile(`(?m)^\.TP\n\.B ([0-9]+)$`).FindAllStringSubmatch(section, -1) {
		codes = append(codes, item[1])
	}
	return codes
}

// exitConstants reads the constants exit... of this package.
func exitConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "cli.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "exit") && len(spec.Values) == 1 {
			codes = append(codes, spec.Values[0].(*ast.BasicLit).Value)
		}
		return true
	})
	return codes
}

// TestManPageExamples reads every command of the pages as the program would.
func TestManPageExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(manDir, "*.8"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, file := range files {
		commands := exampleCommands(manPage(t, filepath.Base(file)))
		if len(commands) < 8 {
			t.Errorf("%s: %d examples only", file, len(commands))
		}
		for _, line := range commands {
			if err := understands(line); err != nil {
				t.Errorf("%s: %q: %v", file, line, err)
			}
		}
	}
}

// exampleCommands returns the command lines of the examples, without prompt.
func exampleCommands(page string) []string {
	var commands []string
	for _, block := range regexp.MustCompile(`(?s)\n\.EX\n(.*?)\n\.EE\n`).FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.NewReplacer(`\-`, "-", `\e`, `\`, `\(aq`, "'").Replace(strings.TrimRight(line, "\n"))
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				commands = append(commands, command)
			} else if command, ok := strings.CutPrefix(line, "# "); ok {
				commands = append(commands, command)
			}
		}
	}
	return commands
}

// understands reports what the program does not understand of a command line.
func understands(line string) error {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " < ")
	if first, second, piped := strings.Cut(line, " | "); piped && strings.HasPrefix(first, "tcpdump ") {
		line = second
	}
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "rpdb" {
		return fmt.Errorf("does not call rpdb")
	}
	cmd, args, err := manRoot().Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	switch cmd.Name() {
	case "explain":
		flags := cmd.Flags()
		if flags.Changed("socket") || flags.Changed("pid") {
			return understandsSockets(cmd)
		}
		if flags.Changed("pcap") {
			_, err := parseCaptureWords(flags.Args())
			return err
		}
		words, err := flags.Lookup("why-not").Value.(*whyNotValue).take(flags.Args())
		if err == nil {
			_, err = ParseFlow(words)
		}
		return err
	case "rule", "route", "ip":
		return understandsObject(cmd.Name(), args)
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// understandsSockets is understands for sockets.
func understandsSockets(cmd *cobra.Command) error {
	q := socketQuery{cmd: cmd, socket: cmd.Flags().Lookup("socket").Value.String(), pid: cmd.Flags().Lookup("pid").Value.String()}
	_, err := q.parse()
	if err == nil {
		_, err = parseSocketWords(cmd.Flags().Args())
	}
	return err
}

// manSections are the sections that pages may have, in the order of
// man-pages(7).
func manSections() []string {
	return []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "KEYWORDS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "NOTES", "EXAMPLES", "SEE ALSO"}
}

// TestManPagesAreWellFormed holds the pages to what man and mandoc show
// without a complaint: macros that both know, balanced examples, text that is
// no request by accident.
func TestManPagesAreWellFormed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(manDir, "*.[58]"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	for _, file := range files {
		page := manPage(t, filepath.Base(file))
		for i, fault := range roffFaults(page) {
			t.Errorf("%s:%d: %s", file, i, fault)
		}
		if strings.HasSuffix(file, ".8") {
			checkSections(t, file, page)
		}
		title := strings.ToUpper(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
		if want := fmt.Sprintf("\n.TH %s %s ", roff(title), filepath.Ext(file)[1:]); !strings.Contains(page, want) {
			t.Errorf("%s: does not begin with %q", file, want)
		}
	}
}

// checkSections wants the sections that every command has, in order.
func checkSections(t *testing.T, file, page string) {
	t.Helper()
	at := -1
	var have []string
	for _, heading := range regexp.MustCompile(`(?m)^\.SH (.*)$`).FindAllStringSubmatch(page, -1) {
		place := slices.Index(manSections(), heading[1])
		if place <= at {
			t.Errorf("%s: section %q is unknown or stands too late", file, heading[1])
		}
		at = place
		have = append(have, heading[1])
	}
	for _, want := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"} {
		if !slices.Contains(have, want) {
			t.Errorf("%s: no section %q", file, want)
		}
	}
}

// roffFaults returns what is wrong with a page, by line.
func roffFaults(page string) map[int]string {
	faults := map[int]string{}
	macros := strings.Fields("TH SH SS PP TP TQ IP RS RE EX EE B I BR RB IR RI BI IB nf fi TS TE")
	escape := regexp.MustCompile(`\\(?:f[BIR]|-|e|&|\(aq|\(bu|\(ha|\(ti|\(dq|")`)
	example, table, previous := false, false, ""
	for i, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		n := i + 1
		macro, _, _ := strings.Cut(strings.TrimPrefix(line, "."), " ")
		isMacro := strings.HasPrefix(line, ".") && !strings.HasPrefix(line, `.\"`)
		switch {
		case line == "":
			faults[n] = "is empty: .PP parts paragraphs"
		case strings.TrimRight(line, " \t") != line:
			faults[n] = "ends in white space"
		case len(line) > 250:
			faults[n] = "is longer than a line"
		case isMacro && !slices.Contains(macros, macro):
			faults[n] = fmt.Sprintf("macro %q is not one that every man knows", macro)
		case strings.HasPrefix(line, "'") && n > 1:
			faults[n] = "begins with a quote, which is a request"
		case strings.Contains(escape.ReplaceAllString(line, ""), `\`):
			faults[n] = "has an escape that not every man knows"
		case macro == "PP" && strings.HasPrefix(previous, ".S"):
			faults[n] = "a heading begins a paragraph of its own"
		case isMacro && macro == "EX" && example, isMacro && macro == "EE" && !example:
			faults[n] = "examples do not nest"
		case isMacro && macro == "TS" && table, isMacro && macro == "TE" && !table:
			faults[n] = "tables do not nest"
		}
		if isMacro && (macro == "EX" || macro == "EE") {
			example = macro == "EX"
		}
		if isMacro && (macro == "TS" || macro == "TE") {
			table = macro == "TS"
		}
		if fonts := regexp.MustCompile(`\\f([BIR])`).FindAllStringSubmatch(line, -1); len(fonts) > 0 && fonts[len(fonts)-1][1] != "R" {
			faults[n] = "leaves a font on"
		}
		if !strings.HasPrefix(line, `.\"`) {
			previous = line
		}
	}
	if example || table {
		faults[0] = "an example or a table has no end"
	}
	return faults
}

// TestRoffFaults shows the check what it must find.
func TestRoffFaults(t *testing.T) {
	for _, bad := range []string{
		"a\n\nb\n", "a \n", ".Sh NAME\n", "a\n'b\n", "a\\(Eu\n", ".EX\na\n.EX\n.EE\n", ".EX\na\n", ".EE\n", "\\fBa\n", ".TE\n", ".SH A\n.PP\n", strings.Repeat("a", 300) + "\n",
	} {
		if len(roffFaults(bad)) == 0 {
			t.Errorf("no fault in %q", bad)
		}
	}
	if faults := roffFaults(".SH NAME\na \\fBb\\fR \\- \\(aqc\\(aq\n.EX\nd\n.EE\n"); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}

// TestManBody shows what becomes of Markdown.
func TestManBody(t *testing.T) {
	got := manBody("# Title\n\nA `-x` word\nof ip-rule(8), **so**.\n\n## The file\n\n- one\n  more\n- two\n\n1. first\n\n```yaml\nkey: 'v'\n\n.dot\n```\n\n    indented\n\n| key | value | meaning |\n|---|---|---|\n| `to` (required) | a prefix | Where; there |\n")
	want := `.PP
A \fB\-x\fR word
of \fBip\-rule\fR(8), \fBso\fR.
.SH THE FILE
.IP \(bu 2
one
more
.IP \(bu 2
two
.IP 1. 4
first
.PP
.RS 4
.EX
key: \(aqv\(aq
\&
\&.dot
.EE
.RE
.PP
.RS 4
.EX
indented
.EE
.RE
.TP
\fBto\fR (required): a prefix
Where;
there.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestManPagesAreNamed keeps the documents pointing to the pages that exist.
func TestManPagesAreNamed(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(manDir, "*.[58]"))
	for _, file := range files {
		if !bytes.Contains(readme, []byte("docs/man/"+filepath.Base(file))) {
			t.Errorf("README.md does not name %s", file)
		}
	}
}

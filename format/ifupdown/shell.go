package ifupdown

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// command is one simple command of a line.
type command struct {
	words []string
	// tolerant says that the line goes on if the command fails.
	tolerant bool
}

// token is a word or an operator of the shell.
type token struct {
	text     string
	operator bool
}

// shellOperators are those that are understood, the longer ones first. Redirections
// are whole: where they lead must not matter.
func shellOperators() []string {
	return []string{"||", "&&", ";", "&>/dev/null", "2>/dev/null", "1>/dev/null", ">/dev/null", "2>&1", "1>&2", ">&2"}
}

// shell cuts a line into the commands that sh would run, with the name of the
// interface in place of $IFACE.
func shell(line, iface string) ([]command, error) {
	tokens, err := tokenize(line, iface)
	if err != nil {
		return nil, err
	}
	var list []command
	var c command
	end := func() error {
		if len(c.words) == 0 {
			return errors.New("a command is missing")
		}
		list, c = append(list, c), command{}
		return nil
	}
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case !t.operator:
			c.words = append(c.words, t.text)
			continue
		case t.text == "||":
			if i+1 >= len(tokens) || tokens[i+1].operator || !slices.Contains([]string{"true", ":"}, tokens[i+1].text) {
				return nil, errors.New("what happens behind || depends on what fails: only || true is understood")
			}
			i++
			c.tolerant = true
			if i+1 == len(tokens) || tokens[i+1].text == ";" && tokens[i+1].operator {
				continue
			}
			return nil, errors.New("only ; may follow || true")
		case t.text == ";":
			if len(tokens) == i+1 && len(c.words) > 0 { // at the end
				continue
			}
			fallthrough
		case t.text == "&&":
			if err := end(); err != nil {
				return nil, err
			}
		}
	}
	return list, end()
}

// tokenize cuts a line into words and operators.
func tokenize(line, iface string) ([]token, error) {
	var tokens []token
	for line = trim(line); line != ""; line = trim(line) {
		if op := operatorAt(line); op != "" {
			tokens, line = append(tokens, token{op, true}), line[len(op):]
			continue
		}
		word, rest, err := shellWord(line, iface)
		if err != nil {
			return nil, err
		}
		tokens, line = append(tokens, token{text: word}), rest
	}
	return tokens, nil
}

func trim(s string) string { return strings.TrimLeft(s, " \t") }

// operatorAt returns the operator that a line begins with. A blank may stand before
// the target of a redirection.
func operatorAt(line string) string {
	for _, op := range shellOperators() {
		if strings.HasPrefix(line, op) {
			return op
		}
		if sign, target, ok := strings.Cut(op, "/"); ok && strings.HasPrefix(line, sign) {
			rest := line[len(sign):]
			if blanks := len(rest) - len(trim(rest)); strings.HasPrefix(rest[blanks:], "/"+target) {
				return line[:len(sign)+blanks+1+len(target)]
			}
		}
	}
	return ""
}

// shellWord takes a word off a line.
func shellWord(line, iface string) (word, rest string, err error) {
	var b strings.Builder
	for line != "" && !strings.ContainsRune(" \t", rune(line[0])) {
		switch c := line[0]; {
		case c == ';' || strings.HasPrefix(line, "&&") || strings.HasPrefix(line, "||"):
			return b.String(), line, nil
		case c == '\'' || c == '"':
			part, after, closed := strings.Cut(line[1:], string(c))
			if !closed {
				return "", "", errors.New("quotation without end")
			}
			if c == '"' {
				if part, err = expand(part, iface); err != nil {
					return "", "", err
				}
			}
			b.WriteString(part)
			line = after
		case c == '$':
			end := strings.IndexAny(line, " \t;&|'\"/.:,")
			if end < 0 {
				end = len(line)
			}
			part, err := expand(line[:end], iface)
			if err != nil {
				return "", "", err
			}
			b.WriteString(part)
			line = line[end:]
		case strings.IndexByte("\\`*?[]{}()<>|&!~#", c) >= 0:
			return "", "", fmt.Errorf("what a shell makes of %q is not understood here", string(c))
		default:
			b.WriteByte(c)
			line = line[1:]
		}
	}
	return b.String(), line, nil
}

// expand puts the name of the interface in place of $IFACE, which ends where no
// letter, digit or underscore follows.
func expand(s, iface string) (string, error) {
	out := ""
	for rest := s; rest != ""; {
		before, behind, found := strings.Cut(rest, "$")
		out += before
		if !found {
			break
		}
		after, ok := strings.CutPrefix(behind, "{IFACE}")
		if !ok {
			after, ok = strings.CutPrefix(behind, "IFACE")
			ok = ok && strings.TrimLeft(after, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == after
		}
		if !ok {
			return "", fmt.Errorf("of what a shell replaces, only $IFACE is understood: %q", s)
		}
		out, rest = out+iface, after
	}
	if strings.ContainsAny(out, "$`\\") {
		return "", fmt.Errorf("of what a shell replaces, only $IFACE is understood: %q", s)
	}
	return out, nil
}

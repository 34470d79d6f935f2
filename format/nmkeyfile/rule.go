package nmkeyfile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// parseRule reads the value of a routing-rule key.
func parseRule(f rpdb.Family, text string) (rpdb.Rule, error) {
	r := rpdb.Rule{Family: f, Protocol: rpdb.ProtocolStatic}
	p := ruleParser{rule: &r, seen: map[string]bool{}}
	for words := strings.Fields(text); len(words) > 0; {
		key := plainKey(words[0])
		words = words[1:]
		if p.seen[key] {
			return r, fmt.Errorf("%q stands there twice", key)
		}
		p.seen[key] = true
		if p.flag(key) {
			continue
		}
		if len(words) == 0 {
			return r, fmt.Errorf("a value is missing behind %q", key)
		}
		if err := p.value(key, words[0]); err != nil {
			return r, err
		}
		words = words[1:]
	}
	return r, p.check()
}

// plainKey returns the one of several words for the same that NetworkManager writes.
func plainKey(word string) string {
	for _, alike := range [][]string{{"priority", "order", "pref", "preference"}, {"table", "lookup"}, {"tos", "dsfield"}} {
		if slices.Contains(alike, word) {
			return alike[0]
		}
	}
	return word
}

type ruleParser struct {
	rule   *rpdb.Rule
	seen   map[string]bool
	table  rpdb.TableID
	action rpdb.Action
}

// flag takes the words that have no value.
func (p *ruleParser) flag(key string) bool {
	if key == "not" {
		p.rule.Selector.Not = true
		return true
	}
	a, ok := actionOf(key)
	if ok {
		p.action = a
		p.seen["type"] = true
	}
	return ok
}

// actionOf returns an action that looks no table up.
func actionOf(word string) (rpdb.Action, bool) {
	for _, a := range []rpdb.Action{rpdb.Blackhole(), rpdb.Unreachable(), rpdb.Prohibit()} {
		if a.Type().String() == word {
			return a, true
		}
	}
	return rpdb.Action{}, false
}

// value takes a word with its value.
func (p *ruleParser) value(key, word string) (err error) {
	r, s := p.rule, &p.rule.Selector
	switch key {
	case "priority":
		r.Priority, err = number[rpdb.Priority](word, 0, 32)
	case "from":
		s.From, err = prefix(r.Family, word)
	case "to":
		s.To, err = prefix(r.Family, word)
	case "table":
		p.table, err = table(word)
	case "tos":
		s.TOS, err = number[uint8](word, 16, 8)
	case "iif":
		s.IIF, err = linkName(word)
	case "oif":
		s.OIF, err = linkName(word)
	case "ipproto":
		s.IPProto, err = number[rpdb.IPProto](word, 0, 8)
	case "sport":
		s.SPort, err = ports(word)
	case "dport":
		s.DPort, err = ports(word)
	case "fwmark":
		s.Mark, err = mark(word)
	case "uidrange":
		var u rpdb.UIDRange
		u.First, u.Last, err = span[uint32](word, 32)
		s.UIDRange = rpdb.Some(u)
	case "suppress_prefixlength":
		var n uint8
		n, err = number[uint8](word, 10, 8)
		r.Suppress.PrefixLength = rpdb.Some(int32(n))
		if err == nil && int(n) > r.Family.Bits() {
			err = errors.New("no prefix is that long")
		}
	case "type":
		var ok bool
		if p.action, ok = actionOf(word); !ok {
			err = errors.New("only blackhole, unreachable and prohibit are actions")
		}
	default:
		return fmt.Errorf("NetworkManager has no word %q in rules", key)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", key, word, err)
	}
	return nil
}

// check completes the rule.
func (p *ruleParser) check() error {
	r := p.rule
	if r.Action = p.action; r.Action == (rpdb.Action{}) {
		if p.table == 0 {
			p.table = rpdb.TableMain
		}
		r.Action = rpdb.ToTable(p.table)
	}
	switch looksUp := r.Action.Type() == rpdb.ActionTable; {
	case !p.seen["priority"]:
		return errors.New("a rule needs a priority")
	case !looksUp && p.table != 0:
		return errors.New("a rule has one action, a table or a type")
	case !looksUp && r.Suppress.PrefixLength.IsSet():
		return errors.New("suppress_prefixlength counts only for rules that look a table up")
	case p.seen["ipproto"] && r.Selector.IPProto == 0, p.seen["tos"] && r.Selector.TOS == 0:
		return errors.New("a selector of 0 selects everything")
	}
	return nil
}

// number reads a number of some bits, in base 10 or 16, or with base 0 as C writes it.
func number[T ~uint8 | ~uint16 | ~uint32](word string, base, bits int) (T, error) {
	if base == 16 {
		word = strings.TrimPrefix(word, "0x")
	}
	n, err := strconv.ParseUint(word, base, bits)
	if err != nil || strings.ContainsAny(word, "_+") {
		return 0, errors.New("a number is expected")
	}
	return T(n), nil
}

// span reads A-B, or A for A-A.
func span[T ~uint16 | ~uint32](word string, bits int) (first, last T, err error) {
	low, high, ok := strings.Cut(word, "-")
	if !ok {
		high = low
	}
	if first, err = number[T](low, 10, bits); err == nil {
		last, err = number[T](high, 10, bits)
	}
	if err == nil && first > last || last == ^T(0) {
		err = errors.New("a range goes from the lower number to the higher one, and the highest of all is none")
	}
	return first, last, err
}

func ports(word string) (rpdb.Ports, error) {
	first, last, err := span[uint16](word, 16)
	switch {
	case err != nil:
		return rpdb.Ports{}, err
	case first == 0:
		return rpdb.Ports{}, errors.New("port 0 is none")
	case first == last:
		return rpdb.Port(first), nil
	}
	return rpdb.PortRange(first, last), nil
}

func mark(word string) (m rpdb.Mark, err error) {
	value, mask, ok := strings.Cut(word, "/")
	if m.Value, err = number[uint32](value, 0, 32); err != nil {
		return m, err
	}
	m.Mask = 0xffffffff
	if ok {
		m.Mask, err = number[uint32](mask, 0, 32)
	}
	switch {
	case err != nil:
		return m, err
	case m.Mask == 0, m.Value == 0 && !ok:
		return m, errors.New("it selects every packet")
	case m.Value&^m.Mask != 0:
		return m, errors.New("bits of the mark are outside of the mask, and would be ignored")
	}
	return m, nil
}

// prefix reads a prefix of a family; without a length it is one address.
func prefix(f rpdb.Family, word string) (netip.Prefix, error) {
	if word == "all" || word == "any" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(word)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(word); err == nil && a.Zone() == "" {
			p = netip.PrefixFrom(a, a.BitLen())
		}
	}
	switch {
	case err != nil || !p.IsValid() || rpdb.FamilyOf(p.Addr()) != f:
		return p, fmt.Errorf("a prefix of %v is expected", f)
	case p.Bits() == 0 && !p.Addr().IsUnspecified():
		return p, errors.New("a prefix of length 0 selects every address")
	}
	return p, nil
}

func table(word string) (rpdb.TableID, error) {
	t, ok := rpdb.Names{}.TableByName(word)
	if !ok || t == 0 {
		return 0, errors.New("a table is a number from 1, or main, local or default")
	}
	return t, nil
}

// linkName takes names that need no quoting in a keyfile.
func linkName(word string) (rpdb.LinkName, error) {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@+-"
	if word == "" || len(word) > 15 || word == "." || word == ".." || word == "all" || word == "default" || strings.Trim(word, plain) != "" {
		return "", errors.New("it is no plain name of an interface")
	}
	return rpdb.LinkName(word), nil
}

// ruleText writes a rule in the order in which NetworkManager itself writes it, or
// says what of it NetworkManager has no words for.
func ruleText(r rpdb.Rule) (string, error) {
	words := []string{"priority", fmt.Sprint(r.Priority)}
	add := func(key, value string) { words = append(words, key, value) }
	s := r.Selector
	if s.Not {
		words = append(words, "not")
	}
	switch {
	case s.From.IsValid():
		add("from", prefixText(s.From))
	case !s.To.IsValid() && r.Family == rpdb.IPv4:
		add("from", "0.0.0.0/0")
	case !s.To.IsValid():
		add("from", "::/0")
	}
	if s.To.IsValid() {
		add("to", prefixText(s.To))
	}
	if s.TOS != 0 {
		add("tos", fmt.Sprintf("0x%02x", s.TOS))
	}
	if s.IPProto != 0 {
		add("ipproto", fmt.Sprint(uint8(s.IPProto)))
	}
	if m := s.Mark; m.Mask == 0xffffffff && m.Value != 0 {
		add("fwmark", fmt.Sprintf("%#x", m.Value))
	} else if m != (rpdb.Mark{}) {
		add("fwmark", strings.Replace(fmt.Sprintf("%#x/%#x", m.Value, m.Mask), "0x0/", "0/", 1))
	}
	addPorts := func(key string, p rpdb.Ports) {
		if p.First == p.Last && p != (rpdb.Ports{}) {
			add(key, fmt.Sprint(p.First))
		} else if p != (rpdb.Ports{}) {
			add(key, fmt.Sprintf("%d-%d", p.First, p.Last))
		}
	}
	addPorts("sport", s.SPort)
	addPorts("dport", s.DPort)
	if s.IIF != "" {
		add("iif", string(s.IIF))
	}
	if s.OIF != "" {
		add("oif", string(s.OIF))
	}
	if u, ok := s.UIDRange.Get(); ok {
		add("uidrange", fmt.Sprintf("%d-%d", u.First, u.Last))
	}
	if n, ok := r.Suppress.PrefixLength.Get(); ok {
		add("suppress_prefixlength", fmt.Sprint(n))
	}
	if a := r.Action; a.Type() == rpdb.ActionTable {
		add("table", fmt.Sprint(uint32(a.Table())))
	} else {
		add("type", a.Type().String())
	}
	text := strings.Join(words, " ")
	return text, unsaid(r, text)
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// unsaid says what of a rule its text lacks.
func unsaid(r rpdb.Rule, text string) error {
	s := r.Selector
	for _, c := range []struct {
		bad  bool
		what string
	}{
		{r.Action.Type() == rpdb.ActionGoto || r.Action.Type() == rpdb.ActionNop, "NetworkManager has neither goto nor nop"},
		{s.L3MDev, "NetworkManager has no rules of VRFs (l3mdev)"},
		{s.DSCP.IsSet(), "NetworkManager has no dscp"},
		{s.FlowLabel != (rpdb.FlowLabel{}), "NetworkManager has no flow labels"},
		{s.TunID != 0, "NetworkManager has no tun_id"},
		{r.Suppress.IfGroup.IsSet(), "NetworkManager has no suppress_ifgroup"},
		{r.Realms != 0, "NetworkManager has no realms"},
		{s.SPort.Mask != 0 && s.SPort.Mask != 0xffff || s.DPort.Mask != 0 && s.DPort.Mask != 0xffff, "NetworkManager has no masks of ports"},
		{r.Flags != 0 || r.Unknown != "", "it has flags or attributes that NetworkManager has no words for"},
	} {
		if c.bad {
			return errors.New(c.what)
		}
	}
	back, err := parseRule(r.Family, text)
	back.Protocol = r.Protocol
	if err == nil && back.Canonical() != r.Canonical() {
		err = errors.New("NetworkManager has no words for it")
	}
	return err
}

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// completed is what a shell is told: the words, what each is about, and the
// directive.
type completed struct {
	words     []string
	about     map[string]string
	directive cobra.ShellCompDirective
	raw       string
}

// pressTab asks for completion of a command line as the scripts of the shells
// do; the last word is the one that is being typed.
func pressTab(t *testing.T, words ...string) completed {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(t.Context(), append([]string{cobra.ShellCompRequestCmd}, words...), Streams{Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("%q: exit code %d: %s", words, code, &errs)
	}
	c := completed{about: map[string]string{}, raw: out.String()}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if _, err := fmt.Sscanf(lines[len(lines)-1], ":%d", &c.directive); err != nil {
		t.Fatalf("%q: no directive in %q", words, &out)
	}
	for _, line := range lines[:len(lines)-1] {
		word, about, _ := strings.Cut(line, "\t")
		c.words = append(c.words, word)
		c.about[word] = about
	}
	return c
}

// completionHost is a host with something of everything, and the option that
// leads to it.
func completionHost(t *testing.T) (*kerneltest.Kernel, string) {
	t.Helper()
	host := kerneltest.Real(t)
	for line := range strings.SplitSeq(`sysctl net.ipv6.conf.default.addr_gen_mode=1
ip link add eth0 type veth peer name gw0
ip link add eth1 type veth peer name gw1
ip link set eth0 up
ip link set gw0 up
ip addr add 192.0.2.10/24 dev eth0
ip addr add 2001:db8:a::10/64 dev eth0 nodad
ip route add default via 192.0.2.1
ip route add default via 192.0.2.1 table 1001
ip rule add pref 100 from 192.0.2.0/24 fwmark 0x10/0xff lookup 1002 protocol 82
ip rule add pref 200 iif gone0 uidrange 0-0 goto 300
ip rule add pref 300 dport 443 ipproto tcp tun_id 7 lookup main suppress_prefixlength 8
ip -6 rule add pref 600 flowlabel 0x5 dscp 46 lookup 1003`, "\n") {
		if err := kerneltest.Script(t.Context(), host, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return host, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), host.NetNS().FD())
}

// tab is a place where the key is pressed: a line that ends where the cursor is,
// words that must be offered there, and words that must not. No wanted words:
// nothing may be offered.
type tab struct{ line, want, lacks string }

// pressTabs presses the key at many places on one host.
func pressTabs(t *testing.T, ns string, tabs []tab) {
	t.Helper()
	for _, c := range tabs {
		got := pressTab(t, append([]string{"-n", ns}, strings.Split(c.line, " ")...)...)
		for word := range strings.FieldsSeq(c.want) {
			if !slices.Contains(got.words, word) {
				t.Errorf("rpdb %s<TAB>: %q is not offered in %q", c.line, word, got.words)
			}
		}
		for word := range strings.FieldsSeq(c.lacks) {
			if slices.Contains(got.words, word) {
				t.Errorf("rpdb %s<TAB>: %q is offered", c.line, word)
			}
		}
		if c.want == "" && len(got.words) > 0 {
			t.Errorf("rpdb %s<TAB>: offers %q", c.line, got.words)
		}
		if got.directive&cobra.ShellCompDirectiveNoFileComp == 0 {
			t.Errorf("rpdb %s<TAB>: the shell may offer files", c.line)
		}
	}
}

func TestCompletion(t *testing.T) {
	_, ns := completionHost(t)
	pressTabs(t, ns, []tab{
		{"", "show check explain init plan apply try completion", "__complete"},
		{"ex", "explain", "show"},
		{"sh", "show", "check"},
		{"explain -", "--snapshot --json --all --color", "--netns"},
		{"explain --color ", "auto always never", "--color"},
		{"show ", "", "show"},
		{"init ", "", "init"},
		{"init -", "--snapshot --from-text --json", "--raw"},
		{"explain ", "to from iif oif mark uid tos dscp ipproto sport dport flowlabel tun_id forwarded connect sendto", "eth0"},
		{"explain 203.0.113.10 ", "from iif oif connect", "to"},
		{"explain 203.0.113.10 --why-not ", "eth0 dev table via rule", "from"},
		{"explain 203.0.113.10 --why-not table ", "main 1001 1002", "eth0 from to"},
		{"explain --why-not rule ", "100 32766", "from"},
		{"explain --why-not dev ", "eth0", "table from"},
		{"explain --why-not via ", "", ""},
		{"explain --why-not table main ", "to from", "main"},
		{"explain 203.0.113.10 --why-not table main from ", "192.0.2.10", "to"},
		{"explain 203.0.113.10 from ", "192.0.2.10 2001:db8:a::10", "from 192.0.2.0/24"},
		{"explain 203.0.113.10 from 192", "192.0.2.10", "127.0.0.1"},
		{"explain src ", "192.0.2.10", "from"},
		{"explain oif ", "lo eth0 eth1 gw0", "gone0"},
		{"explain dev e", "eth0 eth1", "lo"},
		{"explain oif eth0 ", "from connect", "iif oif forwarded"},
		{"explain iif eth0 ", "from to forwarded", "oif connect sendto iif"},
		{"explain connect ", "to oif", "sendto iif connect"},
		{"explain --pcap x ", "iif local oif mark uid tun_id flowlabel connect sendto", "to from dport"},
		{"explain --pcap x iif eth0 ", "mark connect oif", "iif local"},
		{"explain --pcap x local ", "mark oif uid", "iif local"},
		{"explain --pcap x mark ", "0x10", "eth0"},
		{"explain --pid 1 ", "to from oif mark dport flowlabel connect sendto", "iif uid tos ipproto sport tun_id"},
		{"explain --socket :22 to 203.0.113.10 ", "from dport", "to iif"},
		{"explain --socket ", "", ""},
		{"explain --pid ", "", ""},
		{"explain ipproto ", "tcp udp icmp ipv6-icmp", "eth0"},
		{"explain mark ", "0x10", "eth0"},
		{"explain uid ", "0", ""},
		{"explain dport ", "443", ""},
		{"explain sport ", "", "443"},
		{"explain tun_id ", "7", ""},
		{"explain tos ", "0xb8", ""},
		{"explain tos 10 ", "to", "dscp tos"},
		{"explain dscp ", "46", ""},
		{"explain flowlabel ", "0x5", ""},
		{"explain 203.0.113.10 from 192.0.2.10 iif eth1 d", "dport", "dev"},
	})
}

func TestCompletionSaysWhat(t *testing.T) {
	_, ns := completionHost(t)
	for _, c := range []struct{ line, word, about string }{
		{"explain oif ", "eth0", "192.0.2.10/24 2001:db8:a::10/64"},
		{"explain mark ", "0x10", "rule 100"},
	} {
		got := pressTab(t, append([]string{"-n", ns}, strings.Split(c.line, " ")...)...)
		if about, ok := got.about[c.word]; !ok || about != c.about {
			t.Errorf("rpdb %s<TAB>: %s is said to be %q, want %q", c.line, c.word, about, c.about)
		}
	}
}

// TestCompletionOfSockets offers those of the host, and who holds them.
func TestCompletionOfSockets(t *testing.T) {
	host, ns := completionHost(t)
	opened(t, host, unix.AF_INET, unix.SOCK_DGRAM, connects("203.0.113.9:53", bound("192.0.2.10:4001")))
	opened(t, host, unix.AF_INET6, unix.SOCK_STREAM, func(fd int) error {
		return errors.Join(unix.Bind(fd, sockaddr("[::]:443")), unix.Listen(fd, 1))
	})
	opened(t, host, unix.AF_INET6, unix.SOCK_DGRAM, bound("[2001:db8:a::10]:53"))
	pressTabs(t, ns, []tab{
		{"explain --socket ", "192.0.2.10:4001,203.0.113.9:53 :443", "[2001:db8:a::10]:53"},
		{"explain --socket 192", "192.0.2.10:4001,203.0.113.9:53", ":443"},
		{"explain --pid ", fmt.Sprint(os.Getpid()), "1 2"},
		{"explain --pid x", "", ""},
	})
	got := pressTab(t, "-n", ns, "explain", "--socket", "")
	if about := got.about["192.0.2.10:4001,203.0.113.9:53"]; about != "udp ESTAB" {
		t.Errorf("a socket is said to be %q", about)
	}
	if about := pressTab(t, "-n", ns, "explain", "--pid", "").about[fmt.Sprint(os.Getpid())]; about == "" {
		t.Error("a process has no name")
	}
}

// TestCompletionOfFiles asks where a shell should offer files, and which.
func TestCompletionOfFiles(t *testing.T) {
	for line, want := range map[string]completed{
		"plan ":                   {words: []string{"yaml", "yml"}, directive: cobra.ShellCompDirectiveFilterFileExt},
		"apply -j ":               {words: []string{"yaml", "yml"}, directive: cobra.ShellCompDirectiveFilterFileExt},
		"try --rp-filter 1 ":      {words: []string{"yaml", "yml"}, directive: cobra.ShellCompDirectiveFilterFileExt},
		"plan a.yaml ":            {directive: cobra.ShellCompDirectiveNoFileComp},
		"show --snapshot ":        {directive: cobra.ShellCompDirectiveDefault},
		"explain --snapshot=":     {directive: cobra.ShellCompDirectiveDefault},
		"explain --pcap ":         {directive: cobra.ShellCompDirectiveDefault},
		"rule list --snapshot ":   {directive: cobra.ShellCompDirectiveDefault},
		"table list --from-text ": {directive: cobra.ShellCompDirectiveDefault},
		"route --":                {words: []string{"--json", "--netns", "--snapshot", "--from-text"}, directive: noFiles},
		"--netns /proc/1/ns/":     {directive: cobra.ShellCompDirectiveDefault},
		"check --to ":             {directive: cobra.ShellCompDirectiveNoFileComp},
	} {
		got := pressTab(t, strings.Split(line, " ")...)
		if !slices.Equal(got.words, want.words) || got.directive != want.directive {
			t.Errorf("rpdb %s<TAB>: %q with directive %d, want %q with %d", line, got.words, got.directive, want.words, want.directive)
		}
	}
}

// TestCompletionFromSnapshot asks about a host that is only on file.
func TestCompletionFromSnapshot(t *testing.T) {
	_, ns := completionHost(t)
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"-n", ns, "show", "--json"}, Streams{Out: &out, Err: os.Stderr}); code != 0 {
		t.Fatal(code)
	}
	file := filepath.Join(t.TempDir(), "host.json")
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := pressTab(t, "explain", "--snapshot", file, "oif", "e"); !slices.Equal(got.words, []string{"eth0", "eth1"}) {
		t.Errorf("interfaces: %q", got.words)
	}
	if got := pressTab(t, "explain", "--snapshot", file, "mark", ""); !slices.Equal(got.words, []string{"0x10"}) {
		t.Errorf("marks: %q", got.words)
	}
	if got := pressTab(t, "explain", "--snapshot", file+"x", "oif", ""); len(got.words) > 0 {
		t.Errorf("interfaces of a file that is not there: %q", got.words)
	}
}

// makeOddLinks makes interfaces whose names a shell would take for commands, and
// a terminal for something else than text, and rules about them.
func makeOddLinks(t *testing.T, host *kerneltest.Kernel) {
	t.Helper()
	for i, name := range []string{"$(id)", "`id`", "a;id", "a|b", "a&b", `"a'b"`, `'a"b'`, "a\\b", "\x1b[31mred", "t\u00fcr", "a*", "~root", "{a,b}", "a>b", "#a", "!a", "a=b"} {
		for _, line := range []string{
			fmt.Sprintf("ip link add %s type veth peer name odd%d", name, i),
			fmt.Sprintf("ip rule add pref %d oif %s lookup main", 1000+i, name),
		} {
			if err := kerneltest.Script(t.Context(), host, line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
}

// checkSafe presses the key where only plain names and numbers may come.
func checkSafe(t *testing.T, ns, line string) {
	t.Helper()
	got := pressTab(t, append([]string{"-n", ns}, strings.Split(line, " ")...)...)
	if len(got.words) < 4 {
		t.Errorf("rpdb %s<TAB>: offers %q only", line, got.words)
	}
	for _, word := range got.words {
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("rpdb %s<TAB>: offers %q", line, word)
		}
	}
	for _, r := range got.raw {
		if r != '\n' && r != '\t' && (r < ' ' || r > '~') {
			t.Errorf("rpdb %s<TAB>: brings %q to the terminal", line, r)
		}
	}
}

func TestCompletionIsSafe(t *testing.T) {
	host, ns := completionHost(t)
	makeOddLinks(t, host)
	checkSafe(t, ns, "explain oif ")
	checkSafe(t, ns, "explain iif ")
}

func TestPasteable(t *testing.T) {
	for _, word := range []string{"eth0", "eth0.100", "br-lan", "2001:db8::/32", "0x10/0xff", "1000-1999", "veth@if3", "AF11"} {
		if !pasteable(word) {
			t.Errorf("%q is not offered", word)
		}
	}
	for _, word := range []string{"", " ", "a b", "$x", "a\tb", "a\nb", "`a`", "a(b", "\x00", "\xff", "\u00e4"} {
		if pasteable(word) {
			t.Errorf("%q is offered", word)
		}
	}
}

// TestEverythingCompletes finds commands and flags that nobody thought of.
func TestEverythingCompletes(t *testing.T) {
	root := (&app{}).rootCommand()
	for _, cmd := range commandsOf(root)[1:] {
		if cmd.ValidArgsFunction == nil {
			t.Errorf("%s: no completion of its arguments", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { checkFlagCompletes(t, cmd, f) })
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { checkFlagCompletes(t, root, f) })
}

func checkFlagCompletes(t *testing.T, cmd *cobra.Command, f *pflag.Flag) {
	t.Helper()
	if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok && f.NoOptDefVal == "" {
		t.Errorf("rpdb %s --%s: no completion of its value", cmd.Name(), f.Name)
	}
}

// TestFlowWordsAreAll compares the words that are offered with those that are
// read.
func TestFlowWordsAreAll(t *testing.T) {
	var offered []string
	for _, w := range flowWords() {
		offered = append(offered, w.word)
	}
	read := slices.Collect(maps.Keys(flowFields(&rpdb.Flow{})))
	read = append(read, "forwarded", "connect", "sendto")
	slices.Sort(offered)
	slices.Sort(read)
	if !slices.Equal(offered, read) {
		t.Errorf("offered %q\nread    %q", offered, read)
	}
}

// TestCompletionScripts makes the scripts.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_rpdb rpdb", "zsh": "#compdef rpdb", "fish": "complete -c rpdb"} {
		var out bytes.Buffer
		if code := Run(t.Context(), []string{"completion", shell}, Streams{Out: &out, Err: os.Stderr}); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("completion %s: exit code %d, and no %q in it", shell, code, want)
		}
	}
}

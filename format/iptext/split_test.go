package iptext_test

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iptext"
)

// What stands before a listing says what it is of, in all the ways in which
// shells and support tools put it.
func TestHeadings(t *testing.T) {
	for line, want := range map[string]iptext.Command{
		"# ip -d rule":                           {Object: "rule"},
		"$ ip -6 rule list":                      {Object: "rule", Family: rpdb.IPv6},
		"ip -f inet6 ru":                         {Object: "rule", Family: rpdb.IPv6},
		"[root@host ~]# ip -4 -d r ls t 7":       {Object: "route", Family: rpdb.IPv4, Table: "7"},
		"user@host:~$ sudo /sbin/ip route":       {Object: "route"},
		"host:~ # ip -6 -d route show table all": {Object: "route", Family: rpdb.IPv6, All: true},
		"==> sos_commands/networking/ip_-d_-6_route_show_table_all <==": {Object: "route", Family: rpdb.IPv6, All: true},
		"fw-1.example# ip -6 rule":                                      {Object: "rule", Family: rpdb.IPv6},
		"fw$ ip -s -s link":                                             {Object: "link"},
		"=== ip addr ===":                                               {Object: "address"},
		"--- ip -d -s link show ---":                                    {Object: "link"},
		"+ ip neigh show nud all":                                       {Object: "neighbour", Part: true},
		"bash-5.1$ ip nexthop":                                          {Object: "nexthop"},
		"# ip route show table main":                                    {Object: "route"},
		"# ip route show table all dev eth0":                            {Object: "route", All: true, Part: true},
		"# ip -n blue netconf":                                          {Object: "netconf"},
		"# sysctl -a":                                                   {Object: "sysctl"},
		"# sysctl net.ipv4":                                             {Object: "sysctl", Part: true},
		"$ cat /etc/iproute2/rt_tables":                                 {Object: "rt_tables"},
	} {
		b, err := iptext.Split(line + "\n")
		if err != nil || len(b.Sections) != 1 {
			t.Errorf("%q: %+v, %v", line, b, err)
			continue
		}
		got := b.Sections[0].Command
		got.Line, got.Text = 0, ""
		if got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
}

// The output of other commands of ip is passed over, and comments are.
func TestWhatIsPassedOver(t *testing.T) {
	b, err := iptext.Split("# the host's rules\n# ip maddr\n1:\tlo\n\tinet  224.0.0.1\n$ ip route get 8.8.8.8\n8.8.8.8 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0 \n    cache \n" +
		"$ ip rule\n0:\tfrom all lookup local\n====\nDump was interrupted and may be inconsistent.\n")
	if err != nil || len(b.Sections) != 1 || b.Sections[0].Kind != iptext.Rules || len(b.Sections[0].Entries) != 1 || !slices.Equal(b.Interrupted, []int{11}) {
		t.Errorf("%+v, %v", b, err)
	}
}

// What other programs print is passed over where a prompt shows that one was
// called, but for listings: it may be a script that calls ip.
func TestOtherPrograms(t *testing.T) {
	b, err := iptext.Split("fw# uname -a\nLinux fw 6.18.0\nroot@fw:~# iptables -L\nChain INPUT (policy ACCEPT)\n    nothing\n\n" +
		"fw# ./collect\nrules:\n0:\tfrom all lookup local\nfw# ip rule\n0:\tfrom all lookup local\n")
	if err != nil || len(b.Sections) != 2 || b.Sections[0].Entries[0].Line != 9 || b.Sections[1].Entries[0].Line != 11 {
		t.Errorf("%+v, %v", b, err)
	}
	for _, text := range []string{"fw# ip rule\nLinux fw 6.18.0\n", "# uname\nLinux fw 6.18.0\n", "fw#\nLinux fw 6.18.0\n"} {
		if b, err := iptext.Split(text); err == nil {
			t.Errorf("%q: %+v", text, b)
		}
	}
}

// A paste may be indented as a whole, and its places are those of the paste.
func TestIndentedPaste(t *testing.T) {
	b, err := iptext.Split("\ufeff  # ip rule\r\n  0:\tfrom all lookup local\r\n\r\n      198.51.100.0/24 \r\n      \tnexthop via 192.0.2.1 dev eth0 weight 1\r\n")
	if err != nil || len(b.Sections) != 2 {
		t.Fatalf("%+v, %v", b, err)
	}
	e := b.Sections[1].Entries[0]
	if want := "198.51.100.0/24 \n\tnexthop via 192.0.2.1 dev eth0 weight 1"; e.Text != want || e.Line != 4 || e.Column != 7 {
		t.Errorf("%+v", e)
	}
	if at := e.FailWord("weight", "wrong"); at.Line != 5 || at.Column != 6+strings.Index("\tnexthop via 192.0.2.1 dev eth0 weight", "weight")+1 {
		t.Errorf("%v", at)
	}
}

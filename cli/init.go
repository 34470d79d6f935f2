package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/policy"
)

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "write a policy for this host, from the gateways that it has",
		Long: `init prints a policy for this host: an uplink for each interface that has a
gateway in the main table or in a table that rules lead to, static, by DHCP or by
router advertisement, in IPv4 and IPv6. Comments say where each gateway was found,
what is behind which interface, which rules are there and whose they look like, and
what could not be known, such as the gateway of an interface that has none anywhere.
It changes nothing and writes no file. With --json the policy has no comments; JSON
is YAML, so every command takes it all the same.

A host without any gateway gets a policy that wants nothing, with a hint on standard
error, and exit code 0.`,
		Example: "  rpdb init > policy.yaml\n  rpdb try policy.yaml\n  rpdb init --snapshot host.rpdb",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.init(cmd.Context()); err != nil {
				return fmt.Errorf("init: %w", err)
			}
			return nil
		},
	}
	a.snapshotFlag(cmd)
	return cmd
}

func (a *app) init(ctx context.Context) error {
	s, conn, err := a.state(ctx)
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
	}
	text := policy.ForHost(s, a.loadNames())
	doc, err := policy.Parse("the policy for this host", []byte(text))
	if err != nil {
		return err // and print nothing that no other command would read
	}
	if len(doc.Uplinks) == 0 {
		defer a.hintNoUplinks(strings.Contains(text, "  #- interface: "))
	}
	if a.json {
		return a.printPolicyJSON(bareDocument(doc))
	}
	w := newPrinter(a.Out)
	w.printf("%s", text)
	return w.err
}

// initDocument is the JSON of init: the policy without its comments, which is a
// policy document too.
type initDocument struct {
	Version int          `json:"version"`
	Uplinks []initUplink `json:"uplinks"`
}

type initUplink struct {
	Interface rpdb.LinkName `json:"interface"`
	Name      string        `json:"name,omitzero"`
	Gateways  []string      `json:"gateways"` // addresses, auto, auto4, auto6
	Onlink    bool          `json:"onlink,omitzero"`
}

func bareDocument(doc *policy.Document) initDocument {
	bare := initDocument{Version: 1, Uplinks: make([]initUplink, len(doc.Uplinks))}
	for i, u := range doc.Uplinks {
		bare.Uplinks[i] = initUplink{Interface: u.Interface, Name: u.Name, Gateways: u.GatewayTexts(), Onlink: u.Onlink}
		if u.Name == string(u.Interface) {
			bare.Uplinks[i].Name = ""
		}
	}
	return bare
}

// printPolicyJSON prints JSON that is a policy: without the key that says what a
// text leaves open, which standard error does then, and with escapes, without
// which YAML does not take some of the characters that names may have.
func (a *app) printPolicyJSON(doc initDocument) error {
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	w := newPrinter(a.Out)
	for _, r := range string(data) {
		if ascii := r == '\n' || ' ' <= r && r <= '~'; ascii || r > 0xffff {
			w.printf("%c", r) // YAML has no escapes in two halves
		} else {
			w.printf("\\u%04x", r)
		}
	}
	w.printf("\n")
	return w.err
}

// hintNoUplinks says what to do with a policy that wants nothing.
func (a *app) hintNoUplinks(gateless bool) {
	w := newPrinter(a.Err)
	if gateless {
		w.wrap("hint: no uplink has a gateway that is known here: fill in the gateways where the comments ask for them")
		return
	}
	w.wrap("hint: no interface leads to the outside, so the policy has no uplinks: rpdb try refuses it, and rpdb apply takes an earlier policy away")
}

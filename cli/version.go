package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"rpdb/cli/ipcmd"
)

// versionDocument is the JSON of "rpdb version".
type versionDocument struct {
	Version int    `json:"version"` // of this document
	RPDB    string `json:"rpdb"`
	Speaks  string `json:"speaks"`
	Go      string `json:"go"`
}

// versionText is the line of "rpdb version" and "rpdb --version".
func versionText() string {
	return fmt.Sprintf("rpdb %s, speaks %s, built with %s\n", ipcmd.Version(), ipcmd.Speaks, runtime.Version())
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "which version this is, and which version of ip it speaks",
		Args:  noWords,
		RunE:  func(*cobra.Command, []string) error { return a.version() },
	}
}

func (a *app) version() error {
	if a.netns != "" {
		return &usageError{text: "version: --netns does not matter to it"}
	}
	if a.json {
		return a.printJSON(versionDocument{1, ipcmd.Version(), ipcmd.Speaks, runtime.Version()})
	}
	_, err := fmt.Fprint(a.Out, versionText())
	return err
}

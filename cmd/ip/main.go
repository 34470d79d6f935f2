// Command ip lists rules as ip(8) does, faster, and hands everything else to
// the system's ip.
package main

import (
	"os"

	"rpdb/cli/ipcmd"
)

func main() { os.Exit(ipcmd.Run(os.Args[1:], os.Stdout, os.Stderr)) }

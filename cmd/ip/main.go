// Command ip speaks the words of ip(8) for rules, with its bytes and exit
// codes, and hands everything else to the system's ip.
package main

import (
	"os"

	"rpdb/cli/ipcmd"
)

func main() { os.Exit(ipcmd.Main()) }

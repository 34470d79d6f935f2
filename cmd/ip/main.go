// How many processors a container may use does not matter to a program that ends
// within milliseconds, and the runtime takes a tenth of them to find out.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command ip speaks the words of ip(8) for rules, with its bytes and exit
// codes, and hands everything else to the system's ip.
package main

import (
	"os"

	"rpdb/cli/ipcmd"
)

func main() { os.Exit(ipcmd.Main()) }

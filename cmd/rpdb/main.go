// How many processors a container may use does not matter to a program that ends
// within milliseconds, and the runtime takes a tenth of them to find out.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command rpdb explains, checks and changes the routing policy database of
// Linux. See "rpdb help".
package main

import (
	"os"

	"rpdb/cli"
)

func main() { os.Exit(cli.Main()) }

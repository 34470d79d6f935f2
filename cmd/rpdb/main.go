// Command rpdb explains, checks and changes the routing policy database of
// Linux. See "rpdb help".
package main

import (
	"os"

	"rpdb/cli"
)

func main() { os.Exit(cli.Main()) }

package faults

import (
	"os"
	"path/filepath"
	"testing"

	"rpdb/cli"
	"rpdb/kernel/kerneltest"
)

// programName is what this test binary is called where it is to be rpdb.
const programName = "rpdb"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == programName {
		os.Exit(cli.Main())
	}
	os.Exit(kerneltest.Main(m))
}

package ipcmd

import (
	"os"
	"testing"

	"rpdb/kernel/kerneltest"
)

// asProgram makes the test binary behave as the program, for tests that need
// a process of its own.
const asProgram = "RPDB_TEST_AS_IP"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main())
	}
	os.Exit(kerneltest.Main(m))
}

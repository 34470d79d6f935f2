package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"rpdb/kernel/kerneltest"
)

// rootVariable tells the program of a test where the root is that its files of
// names are below. Without it they are the machine's, and must not be changed.
const rootVariable = "RPDB_TEST_ROOT"

// testMain runs the tests where namespaces can be made: as an ordinary user
// inside a user namespace.
type testMain struct{ m *testing.M }

func (t testMain) Run() int { return kerneltest.Main(t.m) }

func TestMain(m *testing.M) {
	testscript.Main(testMain{m}, map[string]func(){
		"rpdb-program": func() { os.Exit(mainBelow(os.Getenv(rootVariable))) },
		"iprule":       func() { os.Exit(mainBelow("")) },
	})
}

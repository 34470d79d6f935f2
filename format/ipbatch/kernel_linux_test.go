package ipbatch_test

import (
	"os"
	"path/filepath"
	"testing"

	"rpdb"
	"rpdb/format/ipbatch"
	"rpdb/internal/formattest"
	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// The ip of this machine makes of a batch what it says.
func TestRealIP(t *testing.T) {
	kerneltest.NeedUID(t, 2999)
	h := formattest.NewHost(t)
	h.Shell(`
		ip addr add 192.0.2.10/24 dev eth0
		ip addr add 198.51.100.10/24 dev eth1
		ip addr add 2001:db8:a::10/64 dev eth0 nodad
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	want := formattest.Everything(t)
	files, losses := ipbatch.Write(want, rpdb.Names{}, ipbatch.Options{})
	if len(losses) != 0 || len(files) != 2 {
		t.Fatalf("%d files, losses %v", len(files), losses)
	}
	for i, option := range []string{"-4", "-6"} {
		file := filepath.Join(t.TempDir(), filepath.Base(files[i].Path))
		if err := os.WriteFile(file, []byte(files[i].Text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.Shell("ip " + option + " -batch " + file)
	}
	formattest.Compare(t, formattest.Policy(h.Snapshot()), want)
}

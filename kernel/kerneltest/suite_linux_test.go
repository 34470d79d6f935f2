package kerneltest_test

import (
	"context"
	"testing"

	"rpdb/kernel/kerneltest"
)

func TestSuiteMemory(t *testing.T) {
	kerneltest.Suite(t, func(t testing.TB) kerneltest.Target {
		k := kerneltest.NewMemory()
		if err := kerneltest.Script(context.Background(), k, "ip link set lo up"); err != nil {
			t.Fatal(err)
		}
		return k
	})
}

func TestSuiteKernel(t *testing.T) {
	kerneltest.Suite(t, func(t testing.TB) kerneltest.Target { return kerneltest.Real(t) })
}

package nft_test

import (
	"os"
	"testing"

	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

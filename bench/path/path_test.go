package path

import (
	"bytes"
	"crypto/sha512"
	"os"
	"testing"
)

func TestSelect(t *testing.T) {
	before := Kernel()
	for _, name := range All {
		restore, err := Select(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Kernel(); name == Portable && got != "portable" || name == Selected && got != before {
			t.Errorf("%s: the kernel is %s", name, got)
		}
		checkSum(t, name)
		restore()
		if got := Kernel(); got != before {
			t.Errorf("after %s: the kernel is %s, was %s", name, got, before)
		}
	}
	if _, err := Select("ifma2"); err == nil {
		t.Error("an unknown implementation is selected")
	}
	if want := os.Getenv("OVERLAP_REQUIRE"); want != "" && before != want {
		t.Errorf("OVERLAP_REQUIRE=%s, but the kernel is %s", want, before)
	}
}

func checkSum(t *testing.T, name string) {
	t.Helper()
	const msgLen, n = 100, 19
	prefix, msgs := bytes.Repeat([]byte{7}, 128), make([]byte, n*msgLen)
	for i := range msgs {
		msgs[i] = byte(i * i >> 3)
	}
	sums := make([][64]byte, n)
	NewPrefix(prefix).Sum(sums, msgs, msgLen)
	for i := range sums {
		if sums[i] != sha512.Sum512(append(bytes.Clone(prefix), msgs[i*msgLen:][:msgLen]...)) {
			t.Errorf("%s: hash %d of %d differs", name, i, n)
		}
	}
}

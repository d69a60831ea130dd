//go:build linux

package sha256x16

import (
	"os"
	"syscall"
	"testing"
)

// between returns n bytes for messages whose next byte, on one side, faults.
func between(t *testing.T, n int, end bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	middle := (n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, middle+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, guard := range [][]byte{m[:page], m[page+middle:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if end {
		return m[page+middle-n : page+middle : page+middle]
	}
	return m[page : page+n : page+n]
}

// TestNothingElseIsRead: a read beyond the messages would end the test, on
// either side: a prefix's bytes come before a message and are not there.
func TestNothingElseIsRead(t *testing.T) {
	each(t, func(t *testing.T, i implementation) {
		for _, n := range []int{1, 3, 16, 17} {
			for _, end := range []bool{false, true} {
				room := between(t, n*150, end)
				for msgLen := range 151 {
					msgs := room[:n*msgLen]
					if end {
						msgs = room[len(room)-n*msgLen:]
					}
					for _, prefix := range []string{"", "\x00", "AMPSI-V01-consent"} {
						check(t, i, batch{[]byte(prefix), msgs, msgLen, msgLen}, n)
					}
				}
			}
		}
	})
}

//go:build linux

package sha512x8

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

// TestNothingElseIsRead: a read beyond the messages would end the test.
func TestNothingElseIsRead(t *testing.T) {
	each(t, func(t *testing.T, i implementation) {
		for _, n := range []int{1, 3, 8, 9} {
			for _, end := range []bool{false, true} {
				room := between(t, n*300, end)
				for msgLen := range 301 {
					msgs := room[:n*msgLen]
					if end {
						msgs = room[len(room)-n*msgLen:]
					}
					checkBatch(t, i, none, nil, msgs, msgLen, n)
				}
			}
		}
	})
}

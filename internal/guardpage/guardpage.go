//go:build linux

// Package guardpage gives tests memory beside which nothing may be touched: a vector
// instruction that reads or writes past its operand ends the test.
package guardpage

import (
	"os"
	"syscall"
	"testing"
)

// Between returns n bytes whose next byte, after their end or else before their
// beginning, faults.
func Between(t testing.TB, n int, end bool) []byte {
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

package consent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

// memoryFile is a RegisterFile that may break.
type memoryFile struct {
	bytes.Buffer
	broken error
}

func (f *memoryFile) Write(p []byte) (int, error) {
	if f.broken != nil {
		return 0, f.broken
	}
	return f.Buffer.Write(p)
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.Bytes()).ReadAt(p, off)
}

func admitted(t testing.TB, i int) Eligible {
	t.Helper()
	classes := []identifier.Class{identifier.EmailUID2, identifier.PhoneE164, identifier.EmailPlain}
	e, err := Rule{Classes: classes}.Admit(&Record{
		Class: classes[i%3], Sum: [32]byte{1, byte(i), byte(i >> 8)}, Purpose: AdsMatching, Status: Granted, Basis: BasisConsent,
	}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What was added comes back, one by one and in order, between two additions too.
func TestRegister(t *testing.T) {
	r := NewRegister(new(memoryFile))
	const n = 5000 // more than the buffer holds
	for i := range n {
		if err := r.Add(admitted(t, i), uint64(7*i)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			checkRegistered(t, r, i)
		}
	}
	for _, i := range []int{0, 1, 17, n - 1} {
		checkRegistered(t, r, i)
	}
	i := 0
	for e, err := range r.All() {
		if want := admitted(t, i); err != nil || e != want || e.Input() != want.Input() {
			t.Fatalf("entry %d is another one: %v", i, err)
		}
		i++
	}
	if i != n || r.Len() != n {
		t.Errorf("%d entries, Len %d, want %d", i, r.Len(), n)
	}
	if _, _, err := r.At(n); err == nil {
		t.Error("an entry that was not added")
	}
	if text := fmt.Sprintf("%+v %v", r, r.LogValue()); text != "REDACTED REDACTED" {
		t.Error("a register is printed")
	}
}

func checkRegistered(t *testing.T, r *Register, i int) {
	t.Helper()
	e, row, err := r.At(uint64(i))
	if err != nil || e != admitted(t, i) || row != uint64(7*i) {
		t.Errorf("entry %d is another one, of row %d: %v", i, row, err)
	}
}

// A file that fails or was changed gives errors and no identifier.
func TestRegisterFails(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an Eligible that nobody admitted is registered")
		}
	}()
	f := &memoryFile{}
	r := NewRegister(f)
	if err := r.Add(admitted(t, 0), 1); err != nil {
		t.Fatal(err)
	}
	f.broken = errors.New("full")
	if _, _, err := r.At(0); !errors.Is(err, f.broken) {
		t.Errorf("At of what could not be written: %v", err)
	}
	for _, err := range r.All() {
		if !errors.Is(err, f.broken) {
			t.Errorf("All of what could not be written: %v", err)
		}
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"cut":              func(b []byte) []byte { return b[:len(b)-1] },
		"of another class": func(b []byte) []byte { b[0] = 0; return b },
		"of nobody":        func(b []byte) []byte { clear(b[1:33]); return b },
	} {
		f := &memoryFile{}
		r := NewRegister(f)
		for i := range 2 {
			if err := r.Add(admitted(t, i), 1); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := r.At(1); err != nil { // and all is written
			t.Fatal(err)
		}
		b := f.Bytes()
		whole := bytes.Clone(b[:registerLen])
		f.Buffer.Reset()
		f.Buffer.Write(whole)
		f.Buffer.Write(spoil(bytes.Clone(b[registerLen : 2*registerLen])))
		if e, _, err := r.At(1); err == nil || e != (Eligible{}) || !strings.HasPrefix(err.Error(), "consent: ") {
			t.Errorf("%s: %v", name, err)
		}
		n := 0
		for _, err := range r.All() {
			if n++; err != nil && n != 2 || err == nil && n != 1 {
				t.Errorf("%s: entry %d: %v", name, n, err)
			}
		}
		if n != 2 {
			t.Errorf("%s: %d entries", name, n)
		}
	}
	r.Add(Eligible{}, 1)
}

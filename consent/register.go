package consent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/input"
)

// Register keeps what a Rule admitted, in the order it came, each with the number
// of its row: the advertiser's list while a session runs, where that must be read
// more than once. It holds hashed identifiers, as a Snapshot does; its file is
// readable by its owner only and goes with the session. Accounts are not kept.
//
// Nothing gets in but by Add, so that what All and At return was admitted.
type Register struct {
	f RegisterFile
	w *bufio.Writer
	n uint64
}

// RegisterFile is what a Register is written to and read from: empty at first,
// and nobody else's.
type RegisterFile interface {
	io.Writer
	io.ReaderAt
}

// registerLen is the length of I2OSP(class,1) ‖ h(32) ‖ I2OSP(row,8).
const registerLen = 1 + 32 + 8

// NewRegister returns an empty register.
func NewRegister(f RegisterFile) *Register {
	return &Register{f: f, w: bufio.NewWriterSize(f, bufferLen)}
}

// Add appends an identifier. It panics if e was not made by Admit.
func (r *Register) Add(e Eligible, row uint64) error {
	x := e.Input() // or panic
	b := append(make([]byte, 0, registerLen), x.Bytes()[input.Len-33:]...)
	if _, err := r.w.Write(binary.BigEndian.AppendUint64(b, row)); err != nil {
		return fmt.Errorf("consent: writing the register: %w", err)
	}
	r.n++
	return nil
}

// Len returns the number of identifiers.
func (r *Register) Len() uint64 { return r.n }

// At returns identifier i, the first being 0, and its row.
func (r *Register) At(i uint64) (e Eligible, row uint64, err error) {
	if i >= r.n {
		return e, 0, errors.New("consent: the register has no such entry")
	}
	var b [registerLen]byte
	if err := r.w.Flush(); err != nil {
		return e, 0, fmt.Errorf("consent: writing the register: %w", err)
	}
	if n, err := r.f.ReadAt(b[:], int64(i)*registerLen); n < registerLen {
		return e, 0, fmt.Errorf("consent: reading the register: %w", err)
	}
	return registered(&b)
}

// All returns every identifier, in order. An error ends it.
func (r *Register) All() iter.Seq2[Eligible, error] {
	return func(yield func(Eligible, error) bool) {
		if err := r.w.Flush(); err != nil {
			yield(Eligible{}, fmt.Errorf("consent: writing the register: %w", err))
			return
		}
		in := bufio.NewReaderSize(io.NewSectionReader(r.f, 0, int64(r.n)*registerLen), bufferLen)
		for range r.n {
			var b [registerLen]byte
			if _, err := io.ReadFull(in, b[:]); err != nil {
				yield(Eligible{}, fmt.Errorf("consent: reading the register: %w", err))
				return
			}
			e, _, err := registered(&b)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

var errRegister = errors.New("consent: register is damaged")

func registered(b *[registerLen]byte) (Eligible, uint64, error) {
	class, sum := identifier.Class(b[0]), [32]byte(b[1:])
	if class.Kind() == 0 || sum == ([32]byte{}) {
		return Eligible{}, 0, errRegister
	}
	return Eligible{x: input.New(b[0], &sum), class: class, sum: sum}, binary.BigEndian.Uint64(b[33:]), nil
}

// Format prints REDACTED whatever the verb.
func (*Register) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the register out of structured logs.
func (*Register) LogValue() slog.Value { return slog.StringValue(redacted) }

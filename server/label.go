package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// labels are what the entries of a session's table tell of the accounts: one slot
// for each leaf of the snapshot, all of one length. They are the platform's own
// words about people, and go with the session.
type labels struct {
	f       *os.File
	name    string // to remove at the end, where an open file can't be
	w       *bufio.Writer
	slot    []byte // I2OSP(length,2) ‖ label ‖ zeros
	tooLong uint64 // labels that don't fit: their entries say nothing
}

// newLabels returns labels of a length as in PROTOCOL.md §7.3.
func newLabels(dir string, labelLen int) (*labels, error) {
	f, name, err := scratch(dir)
	if err != nil {
		return nil, err
	}
	return &labels{f: f, name: name, w: bufio.NewWriterSize(f, 1<<16), slot: make([]byte, labelLen)}, nil
}

// beside returns the records, and keeps the label of each that the rule admits:
// those that a snapshot written of them has as its leaves, in their order.
func (l *labels) beside(records iter.Seq2[consent.Record, error], rule consent.Rule, at time.Time) iter.Seq2[consent.Record, error] {
	return func(yield func(consent.Record, error) bool) {
		for rec, err := range records {
			if err == nil {
				if _, refused := rule.Admit(&rec, at); refused == nil {
					err = l.add(rec.Label)
				}
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (l *labels) add(label string) error {
	if len(label) > len(l.slot)-2 {
		l.tooLong++
		label = ""
	}
	clear(l.slot)
	binary.BigEndian.PutUint16(l.slot, uint16(len(label)))
	copy(l.slot[2:], label)
	if _, err := l.w.Write(l.slot); err != nil {
		return fmt.Errorf("server: labels: %w", err)
	}
	return nil
}

// done ends the writing.
func (l *labels) done() error {
	if err := l.w.Flush(); err != nil {
		return fmt.Errorf("server: labels: %w", err)
	}
	return nil
}

// at returns the label of a leaf. It is overwritten by the next.
func (l *labels) at(leaf uint64) ([]byte, error) {
	if n, err := l.f.ReadAt(l.slot, int64(leaf)*int64(len(l.slot))); n < len(l.slot) {
		return nil, fmt.Errorf("server: labels: %w", err)
	}
	n := int(binary.BigEndian.Uint16(l.slot))
	if n > len(l.slot)-2 {
		return nil, errors.New("server: labels: the file is damaged")
	}
	return l.slot[2 : 2+n], nil
}

func (l *labels) close() error {
	err := l.f.Close()
	if l.name != "" {
		err = errors.Join(err, os.Remove(l.name))
	}
	return err
}

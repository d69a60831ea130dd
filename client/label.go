package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"
)

// labels are what the platform told of the identifiers that matched, by their
// place in the list: a file with a slot for each place, of which only those of
// matches are written. It goes with the session.
type labels struct {
	f    *os.File
	name string // to remove at the end, where an open file can't be
	slot []byte // 1, or 2 if it can't be read ‖ I2OSP(length,2) ‖ label ‖ zeros
}

const (
	labelRead    = 1
	labelSpoiled = 2
)

// readLabels opens the labels of all matches, once the session is complete. One
// that can't be opened, or is no text, is its row's alone: the platform must not
// learn that somebody tried (PROTOCOL.md §7.3).
func (r *run) readLabels(ctx context.Context) (err error) {
	if r.labelLen == 0 {
		return nil
	}
	f, name, err := scratch(r.c.c.spill(), "labels-*")
	if err != nil {
		return err
	}
	r.labels = &labels{f: f, name: name, slot: make([]byte, 1+r.labelLen)}
	for l, err := range r.queries.Labels(ctx, r.spool.Chunks(), &r.tableID, r.outputs) {
		if err != nil {
			return err
		}
		if err := r.labels.put(l.Position, l.Text, l.Err == nil && utf8.Valid(l.Text)); err != nil {
			return err
		}
	}
	return nil
}

func (l *labels) put(place uint64, text []byte, readable bool) error {
	clear(l.slot)
	l.slot[0] = labelSpoiled
	if readable {
		l.slot[0] = labelRead
		binary.BigEndian.PutUint16(l.slot[1:], uint16(len(text)))
		copy(l.slot[3:], text)
	}
	if _, err := l.f.WriteAt(l.slot, int64(place)*int64(len(l.slot))); err != nil {
		return fmt.Errorf("client: labels: %w", err)
	}
	return nil
}

// at returns the label of a match, empty if the platform tells nothing, and
// whether it can be read.
func (l *labels) at(place uint64) (text string, readable bool, err error) {
	if l == nil {
		return "", true, nil
	}
	if n, err := l.f.ReadAt(l.slot, int64(place)*int64(len(l.slot))); n < len(l.slot) {
		return "", false, fmt.Errorf("client: labels: %w", err)
	}
	if l.slot[0] != labelRead {
		return "", false, nil
	}
	n := int(binary.BigEndian.Uint16(l.slot[1:]))
	return string(l.slot[3 : 3+n]), true, nil
}

func (l *labels) close() error {
	err := l.f.Close()
	if l.name != "" {
		err = errors.Join(err, os.Remove(l.name))
	}
	return err
}

// scratch returns a private file that loses its name at once where the system
// allows it, so that it is gone with the process. Elsewhere unnamed is the name to
// remove once it is closed.
func scratch(dir, pattern string) (f *os.File, unnamed string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("client: list: %w", err)
	}
	if f, err = os.CreateTemp(dir, pattern); err != nil { // 0600
		return nil, "", fmt.Errorf("client: list: %w", err)
	}
	if os.Remove(f.Name()) != nil {
		return f, f.Name(), nil
	}
	return f, "", nil
}

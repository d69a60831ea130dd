package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/overlap-psi/overlap/identity"
)

// memory is what a process knows of the journal: sums, and the nonces that count
// still. It holds no more than that, however long the file is.
type memory struct {
	file   fs.FileInfo // whose it is; nil before the first
	end    int64       // of the whole lines that it has
	tail   []byte      // before end
	lines  int
	sums   map[account]charged
	nonces map[seen]time.Time // until when each counts as seen
}

// account is what charges add up in.
type account struct {
	platform identity.ID
	epoch    uint64
}

// charged are an account's sums. They stay at their largest rather than wrap round.
type charged struct{ queries, asked uint64 }

// seen is a nonce of a platform.
type seen struct {
	platform identity.ID
	nonce    identity.ID
}

// readOn reads what the file has since it was read last: all of it, if it is another
// file, or has been written anew.
func (m *memory) readOn(f *os.File) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	tail, err := tailAt(f, m.end)
	if err != nil {
		return err
	}
	if m.file == nil || !os.SameFile(m.file, now) || !bytes.Equal(tail, m.tail) {
		*m = memory{file: now, sums: map[account]charged{}, nonces: map[seen]time.Time{}}
	}
	entries, n, err := readJournal(io.NewSectionReader(f, m.end, math.MaxInt64-m.end), m.lines+1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		m.add(e)
	}
	m.forget(time.Now())
	m.end, m.lines = m.end+n, m.lines+len(entries)
	m.tail, err = tailAt(f, m.end)
	return err
}

// tailAt returns what a file has in the tailSize bytes before end, or less if it is
// shorter: a line and more, which has a time, and so tells one journal from another.
func tailAt(f *os.File, end int64) ([]byte, error) {
	from := max(end-tailSize, 0)
	return io.ReadAll(io.NewSectionReader(f, from, end-from))
}

const tailSize = 512

func (m *memory) add(e entry) {
	if e.Nonce != nil {
		s := seen{e.Platform, *e.Nonce}
		if e.Until.After(m.nonces[s]) {
			m.nonces[s] = e.Until
		}
		return
	}
	at := account{e.Platform, e.Epoch}
	c := m.sums[at]
	m.sums[at] = charged{sum(c.queries, e.Queries), sum(c.asked, e.Asked)}
}

// forgetAfter is how long nonces are kept that do not count any more: a clock that was
// wrong and is set back must not make them new.
const forgetAfter = 24 * time.Hour

func (m *memory) forget(now time.Time) {
	for s, until := range m.nonces {
		if now.Sub(until) > forgetAfter {
			delete(m.nonces, s)
		}
	}
}

func sum(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}

// readJournal returns the whole entries, of which the first is of that line, and how
// many bytes they have.
func readJournal(r io.Reader, line int) (entries []entry, size int64, err error) {
	in := bufio.NewReader(r)
	for ; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, size, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, 0, fmt.Errorf("line %d cannot be read; the budgets it holds can't be known", line)
		}
		entries, size = append(entries, e), size+int64(len(text))
	}
}

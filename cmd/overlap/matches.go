package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// matchesFile is what the advertiser learns: rows of its own file, for its own
// eyes. A line is a row's number, the file's own id of that row if it has such a
// column, which kind of identifier matched and, under a policy with labels, what the
// platform tells of the account. The file gets its name only when
// it is whole.
type matchesFile struct {
	path    string
	list    string // the customer file
	stat    fs.FileInfo
	id      int // column of ids, from 1; 0 if there is none
	labels  bool
	f       *os.File
	out     *csv.Writer
	next    func() (sheet.Row, error, bool) // rows of the customer file, read once more for their ids
	stop    func()
	row     uint64
	current sheet.Row
}

// matchesBegun begins the names of files of matches that are not whole.
const matchesBegun = ".overlap-matches-"

// newMatchesFile prepares the file. Of a list from standard input, which can't be
// read twice, no ids are known.
func newMatchesFile(path, list string, l *audience.List, labels bool) (m *matchesFile, err error) {
	m = &matchesFile{path: path, list: list, labels: labels, stop: func() {}}
	if list != "-" {
		m.id = l.IDColumn()
		if m.stat, err = os.Stat(list); err != nil {
			return nil, err
		}
	}
	err = pending.Sweep(filepath.Dir(path), matchesBegun) // what a killed process left
	if err == nil {
		m.f, err = pending.Create(filepath.Dir(path), matchesBegun) // 0600
	}
	if err != nil {
		return nil, fmt.Errorf("write matches: %w", err)
	}
	m.out = csv.NewWriter(m.f)
	header := []string{"row", "kind"}
	if m.id > 0 {
		header = []string{"row", "id", "kind"}
	}
	if labels {
		header = append(header, "label")
	}
	return m, m.out.Write(header)
}

// add writes a match. Rows come in increasing order.
func (m *matchesFile) add(match client.Match) error {
	line := []string{strconv.FormatUint(match.Row, 10), match.Kind}
	if m.id > 0 {
		id, err := m.idOf(match.Row)
		if err != nil {
			return err
		}
		line = []string{line[0], id, match.Kind}
	}
	if m.labels {
		line = append(line, inert(match.Label))
	}
	return m.out.Write(line)
}

// inert returns a label that no spreadsheet runs, for it is the platform's text in a
// file that the advertiser opens: one that begins like a formula gets an apostrophe
// before it (OWASP, CSV Injection), and so does one that begins with an apostrophe,
// so that whoever drops the first has the label. Spaces before a formula are no
// hindrance to every program. The file's own ids stay as they are.
func inert(label string) string {
	const formula = "=+-@\t\r\n'＝＋－＠" // and their full-width forms
	begin := strings.TrimLeftFunc(label, func(r rune) bool {
		return r != '\t' && r != '\r' && r != '\n' && (unicode.IsSpace(r) || !unicode.IsPrint(r))
	})
	if begin != "" && strings.ContainsRune(formula, firstRune(begin)) {
		return "'" + label
	}
	return label
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// idOf reads on in the customer file up to a row.
func (m *matchesFile) idOf(row uint64) (string, error) {
	if m.next == nil {
		file, err := sheet.Open(m.list, sheet.Options{})
		if err != nil {
			return "", err
		}
		rows, stop := iter.Pull2(file.All())
		m.next, m.stop = rows, func() { stop(); file.Close() }
	}
	for m.row < row {
		var err error
		var more bool
		if m.current, err, more = m.next(); err != nil || !more {
			return "", errors.Join(errChanged, err)
		}
		m.row++
	}
	if m.id > len(m.current.Cells) {
		return "", errChanged
	}
	return m.current.Cells[m.id-1], nil
}

var errChanged = errors.New("the customer file has changed while it was matched: its rows can't be told any more")

// finish gives the file its name.
func (m *matchesFile) finish() error {
	if m.id > 0 {
		now, err := os.Stat(m.list)
		if err != nil || now.Size() != m.stat.Size() || !now.ModTime().Equal(m.stat.ModTime()) {
			return errors.Join(errChanged, err)
		}
	}
	m.out.Flush()
	if err := errors.Join(m.out.Error(), m.f.Sync(), m.f.Close(), os.Rename(m.f.Name(), m.path)); err != nil {
		return fmt.Errorf("write matches: %w", err)
	}
	return nil
}

// close ends it, and removes what has not got its name.
func (m *matchesFile) close() {
	m.stop()
	m.f.Close()           // again, if it is finished
	os.Remove(m.f.Name()) // gone, if it is
}

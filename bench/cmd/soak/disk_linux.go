package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/overlap-psi/overlap/bench/market"
)

// disk is what the platform has on disk.
type disk struct {
	sealed        int    // sessions that can be audited
	evidence      uint64 // of them, bytes
	receipts      uint64 // part of that
	entries       int64  // of the public log
	full, partial int    // tiles of it
	logs          uint64 // bytes of all logs
	database      uint64 // bytes
	wal           uint64 // of the database's write-ahead log, which is used again and never gets shorter
	rest          uint64 // of anything else in the working folder
}

func readDisk(m *market.Market) (d disk, err error) {
	for name, size := range map[string]*uint64{"users.db": &d.database, "users.db-wal": &d.wal} {
		about, err := os.Stat(filepath.Join(m.Dir, name))
		if err != nil {
			return d, err
		}
		*size = uint64(about.Size())
	}
	work := m.WorkDir()
	if err := filepath.WalkDir(work, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		about, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(work, path)
		if err == nil {
			d.add(filepath.ToSlash(name), uint64(about.Size()))
		}
		return err
	}); err != nil {
		return d, err
	}
	text, err := os.ReadFile(filepath.Join(work, "logs", "public", "checkpoint"))
	if err != nil {
		return d, err
	}
	d.entries, err = logSize(text)
	return d, err
}

// add accounts for one file of the working folder.
func (d *disk) add(name string, size uint64) {
	parts := strings.Split(name, "/")
	switch {
	case parts[0] == "evidence" && len(parts) == 3 && len(parts[1]) == 64: // not what is unsealed
		d.evidence += size
		if parts[2] == "receipt" {
			d.sealed++
			d.receipts += size
		}
	case parts[0] == "logs":
		d.logs += size
		switch {
		case !strings.HasPrefix(name, "logs/public/tile/"):
		case strings.Contains(name, ".p/"):
			d.partial++
		default:
			d.full++
		}
	default:
		d.rest += size // locks and the like have no bytes
	}
}

// logSize reads a checkpoint's second line, the number of entries.
func logSize(checkpoint []byte) (int64, error) {
	lines := bytes.SplitN(checkpoint, []byte("\n"), 3)
	if len(lines) < 3 {
		return 0, errors.New("the checkpoint has no size")
	}
	return strconv.ParseInt(string(lines[1]), 10, 64)
}

// kept is what evidence has to take: 72 bytes a question and 132 a chunk of 16384
// (package evidence), and the receipts.
func (d *disk) kept(questions uint64) uint64 {
	return uint64(d.sealed)*(72*questions+132*((questions+16383)/16384)) + d.receipts
}

// tiles are the full tiles that a log of so many entries has: one of each 256
// entries, and of each 256 hashes of each level.
func tiles(entries int64) (full int) {
	full = int(entries >> 8)
	for n := entries >> 8; n > 0; n >>= 8 {
		full += int(n)
	}
	return full
}

// mostPartial is how many tiles there may be that are not full: of the last
// entries, and of the last hashes of three levels, one of each width.
const mostPartial = 4 * 255

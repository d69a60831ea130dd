package table

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/overlap-psi/overlap/internal/pending"
)

// prefix begins the names of files that aren't to outlive their process.
const prefix = ".overlap-tokens-"

// file is a file that is gone once it is closed, unless it was committed.
type file struct {
	*os.File
	temporary string // the name that Close removes; empty if there is none
}

// newScratch returns a file for the time it is open. It loses its name at once,
// so that even a killed process leaves nothing, except where the system doesn't
// remove an open file.
func newScratch(dir string) (*file, error) {
	f, err := create(dir, func(dir, prefix string) (*os.File, error) { return os.CreateTemp(dir, prefix+"*") }) // 0600
	if err != nil {
		return nil, err
	}
	if removeIfThere(f.temporary) == nil {
		f.temporary = ""
	}
	return f, nil
}

// newPending returns a file that commit will give its name. Until it is closed
// it is locked, for Sweep to see that it is somebody's.
func newPending(dir string) (*file, error) { return create(dir, pending.Create) }

// create makes dir if need be, and a file of its owner's in it.
func create(dir string, makeFile func(dir, prefix string) (*os.File, error)) (*file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("table: make directory: %w", err)
	}
	f, err := makeFile(dir, prefix)
	if err != nil {
		return nil, fmt.Errorf("table: create file: %w", err)
	}
	return &file{f, f.Name()}, nil
}

// commit makes the file durable and only then gives it its name. A reader finds
// nothing at path, what was there before, or all of it.
func (f *file) commit(path string) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("table: sync: %w", err)
	}
	if err := os.Rename(f.temporary, path); err != nil {
		return fmt.Errorf("table: rename: %w", err)
	}
	f.temporary = path // until its name is durable too
	if err := pending.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("table: sync directory: %w", err)
	}
	f.temporary = ""
	return nil
}

// Close closes the file and removes it unless it was committed.
func (f *file) Close() error {
	err := f.File.Close()
	if f.temporary != "" {
		err = errors.Join(err, removeIfThere(f.temporary))
	}
	return err
}

// Sweep removes the files that processes which were killed have left in dir, or
// in os.TempDir if dir is empty. It is for a program's start; files of processes
// that are alive stay.
func Sweep(dir string) error {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := pending.Sweep(dir, prefix); err != nil {
		return fmt.Errorf("table: sweep: %w", err)
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

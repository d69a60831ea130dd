package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/overlap-psi/overlap/internal/pending"
)

// promised is a small file that is written when a session is over, which can't be
// had again if there is no place for it then: it is opened, and its room on the
// disk taken, before anything leaves.
type promised struct {
	path string
	f    *os.File
}

// promisedRoom is more than a receipt has bytes.
const promisedRoom = 16 << 10

// promisedBegun begins the names of such files before they are whole.
const promisedBegun = ".overlap-receipt-"

func promise(path string) (*promised, error) {
	dir := filepath.Dir(path)
	if err := pending.Sweep(dir, promisedBegun); err != nil { // what a killed process left
		return nil, err
	}
	f, err := pending.Create(dir, promisedBegun) // 0600
	if err != nil {
		return nil, err
	}
	p := &promised{path, f}
	_, err = f.Write(make([]byte, promisedRoom))
	if err = errors.Join(err, f.Sync()); err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

// keep writes the content under the file's name.
func (p *promised) keep(content []byte) error {
	_, err := p.f.WriteAt(content, 0)
	if err = errors.Join(err, p.f.Truncate(int64(len(content))), p.f.Sync(), p.f.Close()); err != nil {
		return err
	}
	if err := os.Rename(p.f.Name(), p.path); err != nil {
		return err
	}
	return pending.SyncDir(filepath.Dir(p.path))
}

// drop removes the file, if it has not got its name.
func (p *promised) drop() {
	p.f.Close()
	os.Remove(p.f.Name())
}

// mayWrite refuses a path that no file can be written to, or that has one which a
// command reads.
func mayWrite(flag, path string, reads ...string) error {
	at, err := os.Stat(path)
	switch {
	case err == nil && !at.Mode().IsRegular():
		return usageError{fmt.Errorf("%s: %s is a directory or a device, not a file", flag, path)}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", flag, err)
	}
	for _, other := range reads {
		if other == path {
			return usageError{fmt.Errorf("%s would write over %s, which is used here too; name another file", flag, other)}
		}
		if there, e := os.Stat(other); err == nil && e == nil && os.SameFile(at, there) {
			return usageError{fmt.Errorf("%s would write over %s, which is used here too; name another file", flag, other)}
		}
	}
	dir := filepath.Dir(path)
	if in, err := os.Stat(dir); err != nil || !in.IsDir() {
		return usageError{fmt.Errorf("%s: there is no directory %s", flag, dir)}
	}
	return nil
}

// mayCreate is mayWrite for a file that must not be there yet: it may be all that is
// left of an answer that was given.
func mayCreate(flag, path string) error {
	if err := mayWrite(flag, path); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return hint(usageError{fmt.Errorf("%s: %s is there already", flag, path)}, "name another file, or remove this one first")
	}
	return nil
}

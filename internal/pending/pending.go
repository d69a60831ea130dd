// Package pending has files that get their name once they are whole, and locks that
// end with the process that has them. A file of a process that was killed is known
// by that it is not locked, and is swept.
package pending

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Create makes a file of its owner's in dir, whose name begins with prefix. Until
// it is closed it is locked, for Sweep to see that it is somebody's.
func Create(dir, prefix string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, prefix+"*") // 0600
		if err != nil {
			return nil, err
		}
		if err := Lock(f); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		if linked(f) {
			return f, nil
		}
		f.Close() // swept before it was locked
	}
}

// Write makes a file of the content that is its owner's, durably: whole under its
// name, or what was there before stays. Until then its name begins with prefix; it is
// not locked, so a Sweep has to be of one process at a time, as at a start.
func Write(name, prefix string, content []byte) error {
	return WriteFunc(name, prefix, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFunc is Write of what a function writes.
func WriteFunc(name, prefix string, write func(io.Writer) error) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, prefix+"*") // 0600
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable. Windows has no such call; there
// they are as durable as the file system makes them.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// linked reports whether f still is what its name stands for.
func linked(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, named)
}

// Sweep removes the files in dir, whose names begin with prefix, that processes
// which were killed have left; files of processes that are alive stay. No dir has
// none.
func Sweep(dir, prefix string) error {
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var failures []error
	for _, f := range found {
		if strings.HasPrefix(f.Name(), prefix) && f.Type().IsRegular() {
			failures = append(failures, removeAbandoned(filepath.Join(dir, f.Name())))
		}
	}
	return errors.Join(failures...)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

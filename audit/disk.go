package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// The names that a file has until it is whole.
const (
	newFile       = ".new"
	newCheckpoint = ".checkpoint.new"
)

// disk is what a log does to its directory, one step at a time, so that a test
// can stop after every step. Names are slash-separated.
type disk interface {
	mkdir(dir string) error                  // nil if it is there
	write(name string, content []byte) error // durable but for the name
	rename(from, to string) error            // atomic
	remove(name string) error                // with all that is in it
	sync(dir string) error                   // makes the names in dir durable
	files() fs.FS
	close() error
}

// directory is the real disk.
type directory struct{ *os.Root }

func (d directory) files() fs.FS                 { return d.FS() }
func (d directory) close() error                 { return d.Close() }
func (d directory) rename(from, to string) error { return d.Rename(from, to) }
func (d directory) remove(name string) error     { return d.RemoveAll(name) }

func (d directory) mkdir(dir string) error {
	if err := d.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d directory) write(name string, content []byte) error {
	f, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d directory) sync(dir string) error {
	f, err := d.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writer puts files on a disk: each under another name first, and durable with
// its name once settle returns.
type writer struct {
	disk
	known map[string]bool // directories that exist, and durably, once settled
	dirty map[string]bool // directories with names that aren't durable
}

func (w *writer) put(name, temporary string, content []byte) error {
	dir := path.Dir(name)
	if err := w.enter(dir); err != nil {
		return err
	}
	if err := w.write(temporary, content); err != nil {
		return fmt.Errorf("audit: write: %w", err)
	}
	if err := w.rename(temporary, name); err != nil {
		return fmt.Errorf("audit: write: %w", err)
	}
	w.dirty[dir] = true
	return nil
}

// enter makes a directory if need be. The first time that it is used its name
// is made durable, since whoever made it may have been killed before that.
func (w *writer) enter(dir string) error {
	if dir == "." || w.known[dir] {
		return nil
	}
	if err := w.enter(path.Dir(dir)); err != nil {
		return err
	}
	if err := w.mkdir(dir); err != nil {
		return fmt.Errorf("audit: make directory: %w", err)
	}
	w.known[dir], w.dirty[path.Dir(dir)] = true, true
	return nil
}

func (w *writer) discard(name string) error {
	if err := w.remove(name); err != nil {
		return fmt.Errorf("audit: remove: %w", err)
	}
	delete(w.known, name)
	w.dirty[path.Dir(name)] = true
	return nil
}

func (w *writer) settle() error {
	for dir := range w.dirty {
		if err := w.sync(dir); err != nil {
			return fmt.Errorf("audit: sync: %w", err)
		}
		delete(w.dirty, dir)
	}
	return nil
}

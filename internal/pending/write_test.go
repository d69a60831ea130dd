package pending

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A file is whole under its name, its owner's alone, or what was there stays; and
// nothing else is left.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	failure := errors.New("half way")
	for _, step := range []struct {
		write func() error
		err   error
		want  string
	}{
		{func() error { return Write(name, "begun-", []byte("one")) }, nil, "one"},
		{func() error { return Write(name, "begun-", []byte("two")) }, nil, "two"},
		{func() error {
			return WriteFunc(name, "begun-", func(w io.Writer) error {
				_, err := io.WriteString(w, "thr")
				return errors.Join(err, failure)
			})
		}, failure, "two"},
	} {
		if err := step.write(); !errors.Is(err, step.err) {
			t.Fatalf("%v, want %v", err, step.err)
		}
		content, err := os.ReadFile(name)
		if err != nil || string(content) != step.want {
			t.Errorf("the file is %q, %v; want %q", content, err, step.want)
		}
		at, err := os.Stat(name)
		if err != nil || at.Mode().Perm()&0o077 != 0 {
			t.Errorf("the file is for others: %v, %v", at.Mode(), err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%d files, %v", len(list), err)
		}
	}
	if err := Write(filepath.Join(dir, "none", "file"), "begun-", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
}

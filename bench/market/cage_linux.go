package market

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Cage is a control group with a limit of memory: a process in it that needs more,
// and has nothing to give back, is killed. What it has written to files and is
// still in memory counts, too, and is given back when need be.
type Cage struct {
	dir  string
	peak string // the file that says it
}

// NewCage makes a control group of that name below this process's own. It needs
// root, and a system that lets memory be limited there; under systemd that is
// systemd-run --scope -p Delegate=yes. The caller opens it.
func NewCage(name string, limit uint64) (*Cage, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("market: control groups: %w", err)
	}
	one, two := ownGroups(string(own))
	if one != "" {
		return newCage(filepath.Join("/sys/fs/cgroup/memory", one, name), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes", limit)
	}
	return newCage(filepath.Join("/sys/fs/cgroup", two, name), "memory.max", "", "memory.peak", limit)
}

// ownGroups finds in /proc/self/cgroup where a process is (cgroups(7)): in the
// hierarchy of memory, of version 1, if there is one, and in that of version 2.
func ownGroups(text string) (one, two string) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[1] == "memory":
			one = parts[2]
		case parts[0] == "0":
			two = parts[2]
		}
	}
	return one, two
}

func newCage(dir, limitFile, swapFile, peakFile string, limit uint64) (*Cage, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("market: control group: %w", err)
	}
	c := &Cage{dir, filepath.Join(dir, peakFile)}
	set := func(name string) error {
		if name == "" {
			return nil
		}
		// Without O_CREATE: where memory can't be limited there is no such file.
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(strconv.FormatUint(limit, 10))
		return errors.Join(err, f.Close())
	}
	err := set(limitFile)
	if e := set(swapFile); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e) // memory and swap together
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("market: the control group has no limit of memory: %w", err), c.Open())
	}
	return c, nil
}

// Command is what a command begins with that is to run in the cage.
func (c *Cage) Command() []string {
	return []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs")}
}

// Peak is the most that was in the cage at once, in bytes: memory and the pages of
// files.
func (c *Cage) Peak() (uint64, error) {
	text, err := os.ReadFile(c.peak)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// Open takes the cage away, once nobody is in it.
func (c *Cage) Open() error { return os.Remove(c.dir) }

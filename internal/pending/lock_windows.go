package pending

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Lock does nothing: Windows doesn't remove a file that is open.
func Lock(*os.File) error { return nil }

// TryLock takes the lock on f if nobody has it, and reports whether it did.
func TryLock(f *os.File) (bool, error) {
	c, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var failure error
	err = c.Control(func(fd uintptr) {
		const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
		failure = windows.LockFileEx(windows.Handle(fd), how, 0, 1, 0, new(windows.Overlapped))
	})
	if errors.Is(failure, windows.ERROR_LOCK_VIOLATION) {
		return false, err
	}
	err = errors.Join(err, failure)
	return err == nil, err
}

// removeAbandoned removes a file; one that can't be removed is in use.
func removeAbandoned(name string) error {
	os.Remove(name)
	return nil
}

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pending

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Lock waits for the lock on f, which a sweep holds for a moment. The system
// releases it when f is closed, and with the process.
func Lock(f *os.File) error { return flock(f, syscall.LOCK_EX) }

// TryLock takes the lock on f if nobody has it, and reports whether it did.
func TryLock(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// removeAbandoned removes a file unless it is locked or another user's.
func removeAbandoned(name string) error {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if mine, err := TryLock(f); err != nil || !mine {
		return err
	}
	return removeIfThere(name)
}

func flock(f *os.File, how int) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = c.Control(func(fd uintptr) {
		for failure = syscall.EINTR; failure == syscall.EINTR; {
			failure = syscall.Flock(int(fd), how)
		}
	})
	return errors.Join(err, failure)
}

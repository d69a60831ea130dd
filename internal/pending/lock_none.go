//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package pending

import "os"

// Lock does nothing: these systems have no process beside this one that sweeps.
func Lock(*os.File) error { return nil }

// TryLock does nothing: the operator keeps a second process away.
func TryLock(*os.File) (bool, error) { return true, nil }

// removeAbandoned removes a file; one that can't be removed is in use.
func removeAbandoned(name string) error {
	os.Remove(name)
	return nil
}

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package table

import "os"

// lock does nothing: Windows doesn't remove a file that is open, and the other
// systems have no process beside this one that sweeps.
func lock(*os.File) error { return nil }

// removeAbandoned removes a file; one that can't be removed is in use.
func removeAbandoned(name string) error {
	os.Remove(name)
	return nil
}

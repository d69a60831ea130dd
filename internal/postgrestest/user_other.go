//go:build !linux

package postgrestest

import "syscall"

// unprivileged leaves dir to the user who runs the tests.
func unprivileged(string) (*syscall.SysProcAttr, error) { return nil, nil }

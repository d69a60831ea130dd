//go:build unix

package main

import (
	"os"
	"syscall"
)

// rotateSignal makes a server publish its next tables now.
var rotateSignal = []os.Signal{syscall.SIGUSR1}

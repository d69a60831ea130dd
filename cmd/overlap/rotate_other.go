//go:build !unix

package main

import "os"

// rotateSignal is no signal here: overlap table build does the same.
var rotateSignal []os.Signal

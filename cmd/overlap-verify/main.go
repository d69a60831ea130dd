// Overlap-verify checks an evidence file that a platform made (package dossier),
// with nothing but the file and the platform's id: no network, no store, no part
// of the platform's own program.
//
//	overlap-verify --platform 9f2c… evidence.zip
//
// Exit status: 0 everything checked is as it should be, 1 something is not,
// 2 nothing was checked: wrong usage, or a file that can't be read or is not an
// evidence file of that platform.
package main

import (
	"os"

	"github.com/overlap-psi/overlap/dossier"
)

func main() { os.Exit(dossier.Command(os.Args[1:], os.Stdout, os.Stderr)) }

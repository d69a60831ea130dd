// Package sentence says errors as people read them.
package sentence

import (
	"regexp"
	"strings"
)

// packages are the names that errors of this module begin with, which say
// something to whoever reads its code.
var packages = regexp.MustCompile(`(^|: )(?:(?:audience|audit|client|consent|dossier|epoch|evidence|identifier|identity|inquiry|ledger|logbook|merkle|policy|psi|publication|receipt|release|ristretto|server|session|sheet|signal|store|table): )+`)

// Of returns an error in one line, without the packages that it has come through.
// Of errors that were joined, each is told.
func Of(err error) string {
	var said []string
	for line := range strings.Lines(err.Error()) {
		if words := strings.Fields(line); len(words) > 0 {
			said = append(said, packages.ReplaceAllString(strings.Join(words, " "), "$1"))
		}
	}
	return strings.Join(said, "; ")
}

package sheet

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const maxName = 32 // characters of one column's name that a message may show

// Hidden stands for a name that a message may not show.
const Hidden = "(not shown)"

// Key returns what header names are compared by: the name in lower case without
// spaces, underscores and hyphens, so that "E-Mail", "e_mail" and "EMAIL" are
// one. Bytes that aren't UTF-8, byte order marks and zero-width characters go
// too.
func Key(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == unicode.ReplacementChar ||
			unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// Name returns a column's name as a message may show it: short, printable, and
// withheld if it looks like a value (LooksLikeValue), because the first row of
// a file without a header is somebody.
func Name(name string) string {
	if LooksLikeValue(name) {
		return Hidden
	}
	shown := []rune(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || r == '"' || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(name)))
	if len(shown) > maxName {
		shown = append(shown[:maxName-1], '…')
	}
	return string(shown)
}

// LooksLikeValue reports whether a header cell is rather an e-mail address, a
// phone number or a hash: it has an at sign, or seven digits, or 32 characters
// without a space of which some are digits.
func LooksLikeValue(cell string) bool {
	digits, run, longest := 0, 0, 0
	for _, r := range cell {
		switch {
		case r == '@' || r == '＠':
			return true
		case unicode.IsDigit(r):
			digits++
		}
		if run++; unicode.IsSpace(r) {
			run = 0
		}
		longest = max(longest, run)
	}
	return digits >= 7 || digits > 0 && longest >= 32
}

// Answered returns what answers say of each column, "" where they say nothing.
// Each is given for a name, which speaks of all columns that have it, or for a
// position from 1; where both are given the position decides. It returns nil if
// one speaks of no column.
func Answered(header []string, answers map[string]string) (said []string) {
	said = make([]string, len(header))
	for _, positions := range []bool{false, true} {
		for _, which := range slices.Sorted(maps.Keys(answers)) {
			at, byPosition := meant(header, which)
			if len(at) == 0 {
				return nil
			}
			if byPosition != positions {
				continue
			}
			for _, i := range at {
				said[i] = answers[which]
			}
		}
	}
	return said
}

// meant returns the indices of the columns of a name, or of the one at a
// position, if there is no column of that name.
func meant(header []string, which string) (at []int, byPosition bool) {
	for i, name := range header {
		if Key(name) == Key(which) && Key(which) != "" {
			at = append(at, i)
		}
	}
	if len(at) > 0 {
		return at, false
	}
	if n, err := strconv.Atoi(which); err == nil && n >= 1 && n <= len(header) {
		at = append(at, n-1)
	}
	return at, true
}

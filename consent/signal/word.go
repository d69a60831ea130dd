package signal

import "strings"

var spelling = strings.NewReplacer(" ", "_", "-", "_")

// Word returns a cell as vocabularies compare it: in lower case, with underscores
// for spaces and hyphens, and without white space at its ends.
func Word(cell string) string {
	return spelling.Replace(strings.Trim(strings.ToLower(cell), "\t\n\v\f\r \u00a0\ufeff\u200b"))
}

// nothing are the words for nothing that databases, spreadsheets and vendors'
// exports write, as Word returns them; \n is a database's NULL, \N.
var nothing = set(`null \n none nil n/a na nan undefined unspecified consent_status_unspecified not_set`)

// A number with a fraction is what a spreadsheet makes of a column of ones,
// zeros and blanks.
var (
	yes = set("true t yes y 1 1.0 on opt_out optout opted_out")
	no  = set("false f no n 0 0.0 off opt_in optin opted_in")
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// Absent reports whether a cell says nothing: it is empty, or a word for that.
func Absent(cell string) bool {
	if cell == "" { // most cells, without a copy
		return true
	}
	w := Word(cell)
	return w == "" || nothing[w]
}

// JudgeFlag says what a cell means of a column in which true excludes: gpc and
// opt_out. The zero Verdict says that the cell is empty, or a word for that.
func JudgeFlag(cell string) Verdict {
	if cell == "" {
		return Verdict{}
	}
	switch w := Word(cell); {
	case yes[w]:
		return Verdict{Result: Exclude, Why: "opted out"}
	case no[w]:
		return Verdict{Result: Granted, Why: "not opted out"}
	case w == "unknown":
		return Verdict{Result: Unknown, Why: "whether opted out is unknown"}
	case w == "", nothing[w]:
		return Verdict{}
	}
	return Verdict{Result: Malformed, Why: "neither true nor false"}
}

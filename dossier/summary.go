package dossier

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
)

//go:embed summary.html.tmpl
var summaryText string

var summary = template.Must(template.New("summary").Funcs(template.FuncMap{
	"short": func(v any) string {
		switch v := v.(type) {
		case audit.Hash:
			return text(v)[:12]
		case identity.ID:
			return v.String()[:12]
		}
		return fmt.Sprint(v)
	},
	"day":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
	"count": count,
	"share": func(part, whole uint64) string {
		if whole == 0 {
			return "0"
		}
		return fmt.Sprintf("%.2f", 100*float64(part)/float64(whole))
	},
}).Parse(summaryText))

// count writes a number with spaces between thousands, for people.
func count(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// writeSummary says in plain words what the contents say. It is a function of
// them, so that a verifier can write it again and compare.
func writeSummary(w io.Writer, c *Contents) error { return summary.Execute(w, c) }

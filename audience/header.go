package audience

import (
	"fmt"
	"strings"
)

// Problem is what a header leaves open.
type Problem uint8

// The problems. All but the first three are questions, which Options.Columns
// answers.
const (
	UnknownRole   Problem = iota + 1 // Options.Columns: there is no such role
	UnknownColumn                    // Options.Columns: the file has no such column
	AlwaysRead                       // Options.Columns: it takes away what a column says of consent
	NoHeader                         // the first row is somebody, not names of columns
	NoIdentifier                     // no column is an e-mail address or a phone number
	HashOfWhat                       // hashes of e-mail addresses or of phone numbers?
	WhichKind                        // e-mail addresses or phone numbers?
	Device                           // advertising ids of devices, which aren't matched
	SameMeaning                      // two gpp_string columns, or two of gpp_sid
	AboutConsent                     // a name that isn't known, and looks as if it were about consent
)

// HeaderError says why the columns of a file can't be told, and which flag
// tells. It shows names of columns, shortened and cleaned, and no cell.
type HeaderError struct {
	Problem Problem
	Columns []Column // those the question is about; all of them for NoIdentifier; none if the answer names what is not there
}

// maxShown is how many columns a message lists.
const maxShown = 20

func (e *HeaderError) Error() string {
	switch e.Problem {
	case UnknownRole:
		roles := make([]string, len(Roles))
		for i, r := range Roles {
			roles[i] = string(r)
		}
		return "audience: --column: there is no such role; the roles are " + strings.Join(roles, ", ")
	case UnknownColumn:
		return "audience: --column: the file has no such column; give a name of its header or a position from 1"
	case AlwaysRead:
		c := e.Columns[0]
		return fmt.Sprintf("audience: --column: column %s says %s of a person, which is always read; give it another name in the file if it is about something else", c, c.Role)
	case NoHeader:
		return `audience: the first row holds values, not names: add a header row, such as "email"`
	case NoIdentifier:
		return "audience: which column holds e-mail addresses or phone numbers? Say --column NAME=email, =phone, " +
			"=email_sha256 or =phone_sha256; the columns are " + list(e.Columns)
	case SameMeaning:
		a, b := e.Columns[0], e.Columns[1]
		return fmt.Sprintf("audience: columns %s and %s both say %s, and which %s speaks of which %s can't be told: "+
			"put into the file one column of each", a, b, a.Role, GPPSID, GPPString)
	}
	c := e.Columns[0]
	at := fmt.Sprintf("--column %d=", c.Position)
	switch e.Problem {
	case HashOfWhat:
		return fmt.Sprintf("audience: of what does column %s hold hashes? Say %semail_sha256, %sphone_sha256 or %signore",
			c, at, at, at)
	case WhichKind:
		return fmt.Sprintf("audience: does column %s hold e-mail addresses or phone numbers? Say %semail, %sphone or %signore",
			c, at, at, at)
	case AboutConsent:
		return fmt.Sprintf("audience: column %s looks as if it were about consent, and what it says can't be told: say %sconsent if yes means consent, "+
			"%sopt_out if yes means that the person is left out, %stc_string, =gpp_string, =gpp_sid, =us_privacy or =gpc if it holds that signal, "+
			"or %signore if it is about something else", c, at, at, at, at)
	}
	return fmt.Sprintf("audience: column %s holds advertising ids of devices, which aren't matched here: remove it, or say %signore",
		c, at)
}

// list names columns, not more than maxShown.
func list(cols []Column) string {
	var shown []string
	for _, c := range cols[:min(len(cols), maxShown)] {
		shown = append(shown, c.String())
	}
	if more := len(cols) - maxShown; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

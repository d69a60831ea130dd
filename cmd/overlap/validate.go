package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/policy"
)

// listFlags say how a customer file is read.
type listFlags struct {
	Region      country           `help:"Country of phone numbers written without one, such as US or FR."`
	Column      map[string]string `placeholder:"NAME=ROLE" help:"What a column is, where its header does not say; the name or the number of the column. May be repeated."`
	Suppress    []string          `type:"existingfile" placeholder:"FILE" help:"People who must not be matched, whatever else is true: a file of one column of e-mails, phones or hashes, or one with a header. May be repeated."`
	ListConsent string            `enum:"granted,none" default:"granted" help:"What holds for a file without consent columns: granted (you attest consent for the whole list, as the policy asks of you) or none."`
}

// options read a customer file under a policy.
func (f *listFlags) options(p *policy.Policy) audience.Options {
	word := audience.Statement(0)
	if f.ListConsent == "granted" {
		word = audience.Granted
	}
	o := client.Config{Policy: p}.ListOptions(word)
	o.Region, o.Columns, o.Suppressed = string(f.Region), f.Column, f.Suppress
	return o
}

// list opens a customer file under a policy.
func (f *listFlags) list(path string, p *policy.Policy) (*audience.List, error) {
	return audience.Open(path, f.options(p))
}

type validateCommand struct {
	listFlags
	sourceFlag
	vendorFlag   `set:"no_vendor=Default: the policy's; if it has none, no TCF string can be judged."`
	purposesFlag `set:"no_purposes=Default: the policy's, or 3,4."`
	File         string `arg:"" help:"Customer file: CSV or TSV, plain, gzip or zstd; - is standard input."`
	Policy       string `type:"existingfile" help:"The policy agreed with the platform: it names the profiles, and whose consent counts. Default: the one that comes with Overlap."`
	JSON         bool   `help:"Report as JSON."`
}

func (c *validateCommand) Run() error {
	agreed, err := loadPolicy(c.Policy)
	if err != nil {
		return err
	}
	if err := c.check(agreed); err != nil {
		return err
	}
	o := c.options(agreed)
	if err := override(&o.Terms, c.vendorFlag, c.purposesFlag); err != nil {
		return err
	}
	list, err := audience.Open(c.File, o)
	if err != nil {
		return err
	}
	defer list.Close()
	p := newProgress(c.JSON)
	defer p.done()
	_, size := list.Progress()
	p.set("validate", 0, uint64(size))
	for _, err := range list.All() {
		if err != nil {
			return err
		}
		read, size := list.Progress()
		p.set("validate", uint64(read), uint64(size))
	}
	p.done()
	return printReport(c.JSON, list.Report(), printList)
}

// judgedBy explains audience.Report's Consent.
var judgedBy = map[string]string{
	"list": "no column of the file is read as consent; you attest it for the whole list (--list-consent)",
	"rows": "row by row, from the file's own columns",
	"none": "no column of the file is read as consent, and you attest none (--list-consent none): only who may be matched where nothing is said is kept",
}

// printList shows both accounts of a list, each of which adds up.
func printList(w io.Writer, r audience.Report) {
	fmt.Fprintf(w, "%d rows\n", r.Rows)
	printCodes(w, r.RowCodes, r.RowLines)
	fmt.Fprintf(w, "%d identifiers\n", r.Identifiers)
	printCodes(w, r.IdentifierCodes, r.IdentifierLines)
	fmt.Fprintf(w, "kept: %d e-mails, %d phones, all different\n", r.Kept.Email, r.Kept.Phone)
	fmt.Fprintln(w, "consent: "+judgedBy[r.Consent])
	if names := r.NotUnderstood(); names != "" {
		fmt.Fprintf(w, "columns not understood, and not read: %s; --column NAME=ROLE says what one is\n", names)
	}
	if s := r.Suppression; s != nil {
		fmt.Fprintf(w, "suppressed: %d different identifiers on the lists\n", s.Identifiers)
	}
	if n := r.IdentifierCodes[identifier.PhoneNoCountry]; n > 0 {
		fmt.Fprintf(w, "%d phones have no country: if they are all of one, say so with --region\n", n)
	}
}

// printCodes shows a tally with a bar for each code, the most frequent first, and the
// lines where it is found.
func printCodes[C ~string](w io.Writer, tally map[C]uint64, lines map[C][]int) {
	codes := slices.SortedFunc(maps.Keys(tally), func(a, b C) int {
		switch {
		case tally[a] > tally[b]:
			return -1
		case tally[a] < tally[b]:
			return 1
		case a < b:
			return -1
		}
		return 1
	})
	total := uint64(0)
	for _, n := range tally {
		total += n
	}
	for _, code := range codes {
		fmt.Fprintf(w, "%9d  %-22s %s%s\n", tally[code], string(code), bar(tally[code], total), firstOn(lines[code]))
	}
}

// firstOn says on which lines something is found, or nothing of none.
func firstOn(lines []int) string {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(lines), " ", ", "), "[]")
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return "  first on line " + list
	}
	return "  first on lines " + list
}

// bar draws n of total, 30 characters for all.
func bar(n, total uint64) string {
	const width = 30
	full := int(n * width / max(total, 1))
	b := make([]rune, 0, width)
	for range full {
		b = append(b, '█')
	}
	if full == 0 && n > 0 {
		b = append(b, '▏')
	}
	return string(b)
}

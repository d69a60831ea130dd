package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strings"
)

// truth is what the two plain files say, read by nothing of Overlap: another
// parser, another normalisation, a map. It is what the match is checked against.
type truth struct {
	overlap      map[string]bool // accounts with a consented identifier on the list
	securityOnly map[string]bool // accounts on the list by identifiers given for security only
	rows         map[string]bool // "row,kind" of the list's consented identifiers, each where it is first
}

// security purposes, as the users file spells them.
var securityPurposes = map[string]bool{"account_security_2fa": true, "account_recovery": true, "account_reauth": true}

func plainTruth(customers, users string) (*truth, error) {
	list, err := plainList(customers)
	if err != nil {
		return nil, err
	}
	t := &truth{overlap: map[string]bool{}, securityOnly: map[string]bool{}, rows: map[string]bool{}}
	consented := map[string]bool{} // identifiers
	security, other := map[string]bool{}, map[string]bool{}
	err = eachRecord(users, func(col map[string]int, row []string) {
		account, value, purpose := row[col["account_id"]], spelling(row[col["value"]]), row[col["purpose"]]
		if !list[value] {
			return
		}
		granted := row[col["status"]] == "granted"
		switch {
		case purpose == "ads_matching" && granted && row[col["ads_switch"]] == "on":
			t.overlap[account], consented[value] = true, true
		case securityPurposes[purpose] && granted:
			security[account+"\n"+value] = true
			return
		}
		other[account+"\n"+value] = true
	})
	if err != nil {
		return nil, err
	}
	// An account whose number was given for two-factor login and for advertising
	// is not here; nor is one that matched by another, consented identifier.
	for pair := range security {
		account, _, _ := strings.Cut(pair, "\n")
		if !other[pair] && !t.overlap[account] {
			t.securityOnly[account] = true
		}
	}
	return t, t.findRows(customers, consented)
}

// findRows notes which rows of the list have a consented identifier.
func (t *truth) findRows(customers string, consented map[string]bool) error {
	row, seen := 0, map[string]bool{}
	return eachRecord(customers, func(_ map[string]int, cells []string) {
		row++
		for _, cell := range cells[3:] { // Email, Phone, Email
			v := spelling(cell)
			if !consented[v] || seen[v] {
				continue
			}
			seen[v] = true
			kind := "phone"
			if strings.Contains(v, "@") {
				kind = "email"
			}
			t.rows[fmt.Sprintf("%d,%s", row, kind)] = true
		}
	})
}

// plainList returns the identifiers of the customers file.
func plainList(path string) (map[string]bool, error) {
	list := map[string]bool{}
	return list, eachRecord(path, func(_ map[string]int, row []string) {
		for _, cell := range row[3:] { // Email, Phone, Email
			if v := spelling(cell); v != "" {
				list[v] = true
			}
		}
	})
}

// spelling spells an e-mail or a phone of the demo's files in one way, or returns
// "" for what is neither. It knows only the spellings that demofiles.go makes.
func spelling(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if local, domain, ok := strings.Cut(s, "@"); ok {
		if domain == "gmail.com" {
			local, _, _ = strings.Cut(local, "+")
			local = strings.ReplaceAll(local, ".", "")
		}
		return local + "@" + domain
	}
	s = strings.Replace(s, "(0)", "", 1)
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
	switch {
	case len(digits) == 10:
		return "+1" + digits
	case len(digits) == 11 && digits[:2] == "33", len(digits) == 11 && digits[0] == '1':
		return "+" + digits
	}
	return ""
}

func eachRecord(path string, use func(col map[string]int, row []string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := csv.NewReader(f)
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	col := map[string]int{}
	for i, name := range header {
		col[name] = i
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		use(col, row)
	}
}

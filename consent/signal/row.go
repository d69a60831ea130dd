package signal

import (
	"slices"
	"strconv"
	"strings"
)

// Row has what a file says of one person in its signal columns. A cell of a
// column that the file doesn't have is empty.
type Row struct {
	TCString, GPPString, GPPSID, USPrivacy, GPC, OptOut string
}

// Verdicts returns what each signal of the row means for a person under a
// regime, the zero Verdict for one that says nothing.
//
// A US Privacy string that says "not applicable" is nothing for somebody whom
// American law isn't about.
func (r *Row) Verdicts(terms Terms, regime Regime) [5]Verdict {
	var v [5]Verdict
	if s, ok := said(r.TCString); ok {
		v[0] = JudgeTCF(s, terms)
	}
	if s, ok := said(r.GPPString); ok {
		v[1] = judgeApplicable(s, r.GPPSID, terms, regime)
	}
	if s, ok := said(r.USPrivacy); ok {
		if v[2] = JudgeUSPrivacy(s); v[2].Result == Unknown && regime != OptOut {
			v[2] = Verdict{}
		}
	}
	v[3], v[4] = JudgeFlag(r.GPC), JudgeFlag(r.OptOut)
	return v
}

// Strictest returns the strictest of the row's verdicts, the zero Verdict if it
// says nothing.
func (r *Row) Strictest(terms Terms, regime Regime) (worst Verdict) {
	for _, v := range r.Verdicts(terms, regime) {
		worst = stricter(worst, v)
	}
	return worst
}

// said returns the string in a cell, if there is one.
func said(cell string) (s string, ok bool) {
	if Absent(cell) {
		return "", false
	}
	return strings.TrimSpace(cell), true
}

// judgeApplicable judges the sections of a GPP string that apply: those that
// gpp_sid names, or else those that the regime reads. A section that applies and
// isn't there leaves open what it would have said.
func judgeApplicable(s, sid string, terms Terms, regime Regime) Verdict {
	if Absent(sid) {
		return JudgeGPP(s, terms, regime.reads)
	}
	apply, ok := readSID(sid)
	if !ok {
		return Verdict{Result: Malformed, Why: "G5: gpp_sid can't be read"}
	}
	missing := len(apply)
	v := JudgeGPP(s, terms, func(section int) bool {
		applies := slices.Contains(apply, section)
		if applies {
			missing--
		}
		return applies
	})
	if missing > 0 {
		v = stricter(v, Verdict{Result: Unknown, Why: "G5: a section that applies is not in the string"})
	}
	return v
}

// readSID reads the ids of sections, between commas or what exports make of
// them; -1 is the specification's word for none.
func readSID(cell string) (ids []int, ok bool) {
	cell = strings.Trim(cell, "[] \t\r\n")
	if cell == "-1" {
		return nil, true
	}
	for word := range strings.FieldsFuncSeq(cell, func(c rune) bool { return strings.ContainsRune(",;|_ ", c) }) {
		id, err := strconv.Atoi(strings.TrimSuffix(word, ".0")) // as in yes and no
		if err != nil || id < 1 || id > maxSection {
			return nil, false
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, len(ids) > 0
}

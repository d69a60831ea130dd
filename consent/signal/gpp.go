package signal

import "strings"

// The sections of a GPP string that are read. Those of the other States of the
// United States, 9 to 27, are not.
const (
	SectionTCFEU = 2 // a TC string
	SectionTCFCA = 5 // Canada's, not read
	SectionUSPV1 = 6 // a US Privacy string
	SectionUSNat = 7
	SectionUSCA  = 8
)

// The faults of a GPP string.
const (
	faultHeader   fault = "G1: the header can't be read"
	faultSections fault = "G1: the header announces other sections than there are"
)

const (
	gppType    = 3
	gppVersion = 1

	// maxSection is the greatest section id that is read. There are 27; without
	// a limit ten characters could announce a billion.
	maxSection = 1<<12 - 1
)

// Sections returns the ids that the header of a GPP string announces, in
// increasing order. The error is of constant text.
func Sections(s string) ([]int, error) {
	header, _, _ := strings.Cut(s, "~")
	ids, ok := readHeader(header)
	if !ok {
		return nil, faultHeader
	}
	return ids, nil
}

// readHeader reads type, version and the ids: singles and groups, each counted
// from the one before.
func readHeader(header string) (ids []int, ok bool) {
	b := bits{chars: header}
	if !encoded(header) || b.int(6) != gppType || b.int(6) != gppVersion {
		return nil, false
	}
	last := 0
	for n := b.int(12); n > 0; n-- {
		group := b.bool()
		first := last + b.fibonacci(maxSection-last)
		if first == last {
			return nil, false
		}
		end := first
		if group {
			if end += b.fibonacci(maxSection - first); end == first {
				return nil, false
			}
		}
		for last = first; last < end; last++ {
			ids = append(ids, last)
		}
		ids = append(ids, last)
	}
	return ids, !b.short && b.zero()
}

// JudgeGPP says what a GPP string means: steps G1 to G5. Only the sections that
// counts accepts are judged, all if it is nil; the zero Verdict says that the
// string has none of them.
func JudgeGPP(s string, terms Terms, counts func(section int) bool) (v Verdict) {
	header, rest, more := strings.Cut(s, "~")
	ids, ok := readHeader(header)
	if !ok {
		return faultHeader.verdict()
	}
	if announced := strings.Count(rest, "~") + 1; more && announced != len(ids) || !more && len(ids) > 0 {
		return faultSections.verdict()
	}
	for _, id := range ids {
		var section string
		section, rest, _ = strings.Cut(rest, "~")
		if counts == nil || counts(id) {
			v = stricter(v, judgeSection(id, section, terms))
		}
	}
	return v
}

func judgeSection(id int, section string, terms Terms) Verdict {
	switch id {
	case SectionTCFEU:
		return JudgeTCF(section, terms)
	case SectionUSPV1:
		return JudgeUSPrivacy(section)
	case SectionUSNat:
		return usNat.judge(section)
	case SectionUSCA:
		return usCA.judge(section)
	}
	return Verdict{Result: Unknown, Why: "G4: a section that is not read"}
}

// state is what is known of a section of the United States: where its opt-outs
// are. All fields but the version are of two bits.
type state struct {
	notices int         // fields between the version and the opt-outs
	optOuts int         // 0 not applicable, 1 opted out, 2 did not
	after   map[int]int // by version: fields after the opt-outs
	short   Verdict
	version Verdict
	out     Verdict
	unsaid  Verdict
	granted Verdict
	gpc     Verdict
	more    Verdict
}

func newState(name string, notices, optOuts int, after map[int]int) state {
	return state{
		notices: notices, optOuts: optOuts, after: after,
		short:   Verdict{Result: Malformed, Why: "G3: the " + name + " section is too short or not base64url"},
		version: Verdict{Result: Unknown, Why: "G4: a version of the " + name + " section that is not read"},
		out:     Verdict{Result: Exclude, Why: "G3: opted out in the " + name + " section"},
		gpc:     Verdict{Result: Exclude, Why: "G3: Global Privacy Control in the " + name + " section"},
		unsaid:  Verdict{Result: Unknown, Why: "G3: an opt-out of the " + name + " section is not applicable or not said"},
		more:    Verdict{Result: Unknown, Why: "G4: a sub-section of the " + name + " section that is not read"},
		granted: Verdict{Result: Granted, Why: "G3: not opted out in the " + name + " section"},
	}
}

// The layouts. After the opt-outs come sensitive data, known children, personal
// data and three fields of the MSPA.
var (
	usNat = newState("usnat", 6, 3, map[int]int{1: 12 + 2 + 1 + 3, 2: 16 + 3 + 1 + 3})
	usCA  = newState("usca", 3, 2, map[int]int{1: 9 + 2 + 1 + 3})
)

// judge does steps G3 and G4. The layout depends on the section's own version,
// so that is looked at first.
func (st *state) judge(section string) Verdict {
	core, rest, more := strings.Cut(section, ".")
	b := bits{chars: core}
	if !encoded(core) {
		return st.short
	}
	version := b.int(6)
	after, known := st.after[version]
	switch {
	case b.short:
		return st.short
	case !known:
		return st.version
	}
	v := st.readOptOuts(&b)
	if b.skip(2 * after); b.short {
		return st.short
	}
	for more {
		var sub string
		sub, rest, more = strings.Cut(rest, ".")
		v = stricter(v, st.readSub(sub))
	}
	return v
}

func (st *state) readOptOuts(b *bits) Verdict {
	b.skip(2 * st.notices)
	v := st.granted
	for range st.optOuts {
		switch b.int(2) {
		case 1:
			v = stricter(v, st.out)
		case 2:
		default:
			v = stricter(v, st.unsaid)
		}
	}
	return v
}

// readSub reads a sub-section. There is one type of it, Global Privacy Control.
func (st *state) readSub(sub string) Verdict {
	const gpc = 1
	b := bits{chars: sub}
	if !encoded(sub) {
		return st.short
	}
	kind, on := b.int(2), b.bool()
	switch {
	case b.short:
		return st.short
	case kind != gpc:
		return st.more
	case on:
		return st.gpc
	}
	return st.granted
}

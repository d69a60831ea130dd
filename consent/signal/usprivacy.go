package signal

import "strings"

// JudgeUSPrivacy says what a US Privacy string means, such as "1YNN": of its four
// characters the third is the opt-out of sale (step G2).
func JudgeUSPrivacy(s string) Verdict {
	if len(s) != 4 || s[0] != '1' || strings.Trim(s[1:], "YN-") != "" {
		return Verdict{Result: Malformed, Why: "G2: not a US Privacy string"}
	}
	switch s[2] {
	case 'Y':
		return Verdict{Result: Exclude, Why: "G2: opted out of sale"}
	case 'N':
		return Verdict{Result: Granted, Why: "G2: not opted out of sale"}
	}
	return Verdict{Result: Unknown, Why: "G2: the opt-out of sale is not applicable"}
}

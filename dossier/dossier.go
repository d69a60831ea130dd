// Package dossier is one file that answers "who was affected, and how many?" to
// somebody who has a right to the answer: an authority, a court, an auditor. It
// holds what the platform says and what proves it: the log, the policies, what
// both companies signed of each session, openings, and a summary in plain words.
// Verify needs the file, the platform's id, and nobody's help.
//
// The file is a ZIP archive:
//
//	summary.html          for people; no network
//	contents.json         the same for programs: Contents
//	affected.csv          whom an incident affected, if there is one
//	log/…                 the public log, at one checkpoint (package audit)
//	policies/<hash>.toml  each policy a session ran under, and its .sig
//	receipts/<sid>.json   what both companies signed
//	matches/<sid>         which positions matched, after 32 bytes: what the log's commitment is of
//	proofs/<sid>          openings of the positions of the affected (evidence.CheckChosen)
//	                      (these two and audits/ of sessions in which the platform asked)
//	audits/<sid>.json     a challenge that somebody drew, and
//	audits/<sid>          its openings (evidence.Check)
//	SHA256SUMS            of all that, as sha256sum writes it
//	SHA256SUMS.sig        the platform's signature, a signed note
//
// affected.csv and the openings are personal data: the file is for whoever may
// see them, and for nobody else.
package dossier

import (
	"errors"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
)

// Format names this layout.
const Format = "overlap-evidence-1"

// The archive's fixed names.
const (
	summaryName  = "summary.html"
	contentsName = "contents.json"
	affectedName = "affected.csv"
	sumsName     = "SHA256SUMS"
	sigName      = "SHA256SUMS.sig"
	logDir       = "log/"
)

// The names of a session's and a policy's files.
func policyName(hash audit.Hash) string  { return "policies/" + text(hash) + ".toml" }
func receiptName(sid audit.Hash) string  { return "receipts/" + text(sid) + ".json" }
func matchesName(sid audit.Hash) string  { return "matches/" + text(sid) }
func proofsName(sid audit.Hash) string   { return "proofs/" + text(sid) }
func openingsName(sid audit.Hash) string { return "audits/" + text(sid) }
func challengeName(sid audit.Hash) string {
	return "audits/" + text(sid) + ".json"
}

func text(h audit.Hash) string {
	b, _ := h.MarshalText() // never fails
	return string(b)
}

// Contents is what a dossier says, for programs.
type Contents struct {
	Format   string      `json:"format"`
	Made     time.Time   `json:"made"`
	Platform identity.ID `json:"platform"`
	Key      []byte      `json:"platform_public_key"` // Ed25519, 32 bytes
	Log      string      `json:"log"`                 // its name
	Entries  int64       `json:"log_entries"`
	Sessions []Session   `json:"sessions"` // all there are in the log, in its order
	Incident *Incident   `json:"incident,omitempty"`
}

// Session is one session of the platform with an advertiser.
type Session struct {
	SID        audit.Hash  `json:"session"`
	Advertiser identity.ID `json:"advertiser"`
	Name       string      `json:"advertiser_name"` // the platform's word for it
	Mode       string      `json:"mode"`
	Audience   string      `json:"audience,omitempty"`
	Policy     audit.Hash  `json:"policy_sha256"`
	Started    time.Time   `json:"started"`
	Outcome    string      `json:"outcome"`            // complete or failed, as in the log
	Asked      uint64      `json:"asked"`              // the platform's identifiers that it was about, with pads
	Listed     uint64      `json:"listed"`             // on the advertiser's list, with pads
	Signed     bool        `json:"signed"`             // a receipt up to SEAL at least is in the file
	Unkept     bool        `json:"not_kept,omitempty"` // it broke, and nothing was kept that could be opened: it counts as not signed
	Matched    bool        `json:"matches_disclosed"`  // matches/<sid> is in the file
	Audited    bool        `json:"audited"`            // audits/<sid> is in the file
	Affected   *Affected   `json:"affected,omitempty"`
}

// advertiserAsks reports whether the advertiser asked and the platform was asked
// (A_LEARNS, MUTUAL_A): nothing was kept then that could be opened.
func (s *Session) advertiserAsks() bool {
	m, err := psi.ParseMode(s.Mode)
	return err == nil && m.AdvertiserAsks()
}

// MatchesUnknown reports whether only the advertiser learned who matched.
func (s *Session) MatchesUnknown() bool {
	m, err := psi.ParseMode(s.Mode)
	return err == nil && !m.FillsAudience()
}

// Incident is a question about misuse, and the answer.
type Incident struct {
	ID        audit.Hash `json:"incident"`
	Predicate string     `json:"predicate"` // in consent.ParsePredicate's words
	Asked     time.Time  `json:"asked"`
	Exposed   uint64     `json:"accounts_exposed"` // distinct, over all sessions
	Matched   uint64     `json:"accounts_matched"`
}

// Affected is the answer for one session.
type Affected struct {
	Exposed     uint64  `json:"accounts_exposed"`
	Matched     uint64  `json:"accounts_matched"`
	Identifiers []Tally `json:"identifiers"`
	Erased      uint64  `json:"identifiers_erased"` // of the session, of whom it can't be known any more
}

// Tally counts affected identifiers of one kind and one recorded purpose.
type Tally struct {
	Kind    string `json:"kind"`
	Purpose string `json:"purpose"`
	Exposed uint64 `json:"exposed"`
	Matched uint64 `json:"matched"`
}

// Person is one line of affected.csv: one identifier of one account that was used
// in one session, and why it was let in at the time.
type Person struct {
	Account   string   // the platform's own name for it
	Handle    [32]byte // as in the openings
	SID       audit.Hash
	Matched   bool // else exposed only
	Kind      string
	Purpose   string
	Basis     string
	Notice    string
	Surface   string
	Reference string
	Source    string
	Collected time.Time
	Fact      uint64 // number of the ledger's line
	Position  uint64 // of the question in the session, if the platform asked
}

// The columns of affected.csv after its first line, which is 32 random bytes in
// hexadecimal: the log has the file's hash, and that of a short list could
// otherwise be tried out.
var affectedColumns = []string{"account", "handle", "session", "grade", "kind", "purpose", "basis", "notice", "surface", "reference", "source", "collected_at", "ledger_line", "position"}

var errDossier = errors.New("dossier: not an evidence file of this version")

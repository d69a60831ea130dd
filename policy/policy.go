// Package policy reads the document that two companies agreed on before they
// match: which accounts and identifiers, who learns what, how much may be asked
// and released (PROTOCOL.md §15).
//
// The document is TOML, written for people to read and sign (Sign). Its hash is
// in every OPEN, so both sides run under the same bytes or not at all. It has one
// purpose, advertising; a policy that names another, such as a security purpose,
// does not parse.
package policy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

// Policy is a parsed document. Treat its fields as read-only: its Hash is that
// of the document and does not follow them.
type Policy struct {
	Version  uint64             // of the document's format: 1
	Universe string             // the platform's set of accounts, 1–64 of [a-z0-9._-]
	Classes  []identifier.Class // profiles that may be matched, 1–16, increasing
	Modes    []psi.Mode         // modes that may be run, increasing; default P_LEARNS
	LabelLen uint64             // length of a label in bytes where the advertiser asks, PROTOCOL.md §7.3; default 0: none

	MaxQHat        uint64 // items the Querier may ask in a session, padded
	MaxNHat        uint64 // entries of the Holder's table, padded
	MaxEvaluations uint64 // items a Querier may ask in an epoch, over all sessions, pads included
	MaxReleases    uint64 // counts an advertiser may be told in an epoch; 0: none ever

	Tau     uint64  // accounts below which no count is released; default 100
	Epsilon Epsilon // of one release; default 1/2
	Delta   float64 // of one release; default 1e-9
	TExtra  uint64  // accounts, T of PROTOCOL.md §8.4; default 42

	EpochSeconds   uint64 // length of an epoch; default 604 800, a week
	ResumeSeconds  uint64 // how long a broken session can be resumed; default 600, 0: not at all
	SessionSeconds uint64 // deadline of a session; default 86 400, a day
	ReleaseStep    uint64 // seconds; a release leaves at a multiple of it; default 10
	Window         uint64 // chunks in flight; default 8

	RetentionDays uint64 // how long the platform keeps what an audit of a session needs
	AuditSamples  uint64 // positions that an audit opens; default 4603
	Beacon        string // public source of audit challenges; default "none": the auditor draws them
	Witnesses     uint64 // cosignatures that a published table's checkpoint needs; default 2

	Consent Consent
	Hygiene Hygiene

	document []byte
	set      map[string]bool // the fields that the document sets
}

// Epsilon is ε = Num/Den of one release, exact.
type Epsilon struct{ Num, Den uint64 }

// String returns the fraction as the document spells it: "1/2".
func (e Epsilon) String() string { return fmt.Sprintf("%d/%d", e.Num, e.Den) }

// Hash returns the policy_hash of PROTOCOL.md §15, SHA-256 of the document's
// bytes as they were parsed: a changed comment or line end is another policy.
func (p *Policy) Hash() [32]byte { return sha256.Sum256(p.document) }

// Bytes returns a copy of the document.
func (p *Policy) Bytes() []byte { return bytes.Clone(p.document) }

// Release returns the settings of a release. They pass release.Params.Check if p
// came from Parse.
func (p *Policy) Release() release.Params {
	return release.Params{
		Tau:        p.Tau,
		EpsilonNum: p.Epsilon.Num,
		EpsilonDen: p.Epsilon.Den,
		Delta:      p.Delta,
		TExtra:     p.TExtra,
	}
}

// EpochTotal returns the (ε, δ) that all releases of one epoch add up to for one
// account and one advertiser.
func (p *Policy) EpochTotal() (epsilon, delta float64) {
	n := float64(p.MaxReleases)
	return n * float64(p.Epsilon.Num) / float64(p.Epsilon.Den), n * p.Delta
}

// Epoch returns the number of the epoch that t is in: ⌊Unix time /
// epoch_seconds⌋, 0 before 1970.
func (p *Policy) Epoch(t time.Time) uint64 {
	return uint64(max(t.Unix(), 0)) / p.EpochSeconds
}

// Field is one line of a document, for people to read.
type Field struct {
	Name  string `json:"name"` // with its section: "consent.bases"
	Value string `json:"value"`
	Set   bool   `json:"set"` // by the document; else Value is the default
	Means string `json:"means"`
}

// Fields returns every field, in the order of default.toml.
func (p *Policy) Fields() []Field {
	list := make([]Field, len(fields))
	for i, f := range fields {
		list[i] = Field{f.name, f.show(p), p.set[f.name], f.means}
	}
	return list
}

// Diff says which fields of two policies differ, one line per field with its
// name and both values: "tau: 100 ≠ 1000". If the fields agree but the bytes do
// not, one line says that; it returns nothing only if the hashes agree.
func Diff(a, b *Policy) []string {
	var lines []string
	for _, f := range fields {
		if va, vb := f.show(a), f.show(b); va != vb {
			lines = append(lines, fmt.Sprintf("%s: %s ≠ %s", f.name, va, vb))
		}
	}
	if len(lines) == 0 && a.Hash() != b.Hash() {
		lines = append(lines, "the fields agree, the bytes differ: comments, order, spacing or line ends")
	}
	return lines
}

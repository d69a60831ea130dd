package client

import (
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/release"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// Report is what an advertiser learns of a session, and what left its machine.
type Report struct {
	Audience string      `json:"audience"`
	Platform identity.ID `json:"platform"`
	Session  string      `json:"session,omitempty"` // id, hexadecimal; empty if none was opened

	List     audience.Report `json:"list"`     // what became of every row; local
	Distinct uint64          `json:"distinct"` // identifiers evaluated
	Collided uint64          `json:"collided"` // left out since two had one token; expect 0
	Entries  uint64          `json:"entries"`  // of the table the platform got, pads included
	Queries  uint64          `json:"queries"`  // the platform asked, pads included

	// The one count: about so many accounts matched. Without Released the
	// platform told none: too few matched, or the noise hid them.
	Count    uint64 `json:"count"`
	Released bool   `json:"released"`
	Epsilon  string `json:"epsilon"`
	Tau      uint64 `json:"tau"`

	BytesSent uint64        `json:"bytes_sent"` // of frames' bodies
	Duration  time.Duration `json:"nanoseconds"`

	// Receipt is both companies' signatures, or what there is of it if the
	// session failed.
	Receipt *session.Receipt `json:"-"`

	count release.Count
}

func (c *Client) newReport(name string, list audience.Report, counts table.Counts, entries uint64) *Report {
	return &Report{
		Audience: name,
		Platform: c.c.Platform,
		List:     list,
		Distinct: counts.Added - counts.Repeats,
		Collided: counts.Collided,
		Entries:  entries,
		Epsilon:  c.c.Policy.Epsilon.String(),
		Tau:      c.c.Policy.Tau,
	}
}

func (r *Report) finish(s *session.Session, err error) {
	r.Queries, r.BytesSent = s.Queries(), s.BytesSent()
	if sid := s.SID(); sid != ([32]byte{}) {
		r.Session, r.Receipt = identity.ID(sid).String(), s.Evidence()
	}
	if err == nil {
		r.Count, r.Released = r.count.N, r.count.Released
	}
}

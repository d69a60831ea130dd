package client

import (
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/release"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// Report is what an advertiser learns of a session, and what left its machine.
type Report struct {
	Mode     string      `json:"mode"`
	Audience string      `json:"audience"` // empty in A_LEARNS
	Platform identity.ID `json:"platform"`
	Session  string      `json:"session,omitempty"` // id, hexadecimal; empty if none was opened

	List     audience.Report `json:"list"`            // what became of every row; local
	People   uint64          `json:"people"`          // on the list, as the policy counts them: the larger of its e-mails and its phones
	Small    bool            `json:"small"`           // fewer than the policy asks for (min_list)
	Distinct uint64          `json:"distinct"`        // identifiers evaluated or, in A_LEARNS and MUTUAL_A, asked about
	Collided uint64          `json:"collided"`        // left out since two had one token; expect 0
	Entries  uint64          `json:"entries"`         // of the Holder's table, pads included: the list's, or the platform's
	Table    string          `json:"table,omitempty"` // SHA-256 of the manifest of a published table
	Queries  uint64          `json:"queries"`         // that the Querier asked, pads included
	Matched  *Matched        `json:"matched,omitempty"`

	// The one count, in P_LEARNS: about so many accounts matched. Without Released the
	// platform told none: too few matched, or the noise hid them. A policy whose
	// display is not exact leaves Count 0, and what it shows is Rate, the count as
	// a share of People; the receipt holds the count all the same.
	Count    uint64 `json:"count"`
	Rate     string `json:"rate,omitempty"` // "37%", ">85%"
	Released bool   `json:"released"`
	Display  string `json:"display"`
	Epsilon  string `json:"epsilon"`
	Tau      uint64 `json:"tau"`

	BytesSent uint64        `json:"bytes_sent"` // of frames' bodies
	Duration  time.Duration `json:"nanoseconds"`

	// Receipt is both companies' signatures, or what there is of it if the
	// session failed.
	Receipt *session.Receipt `json:"-"`

	count   release.Count
	display policy.Display
}

// Matched counts the list's identifiers that matched, where the advertiser learns
// them. It is nil in P_LEARNS, and if the session failed.
type Matched struct {
	Email uint64 `json:"email"`
	Phone uint64 `json:"phone"`
	// Unreadable counts those of them whose label the platform has spoiled, or that
	// is no text. The platform is not told.
	Unreadable uint64 `json:"unreadable_labels,omitempty"`
}

func (m *Matched) add(kind string) {
	if kind == "email" {
		m.Email++
	} else {
		m.Phone++
	}
}

func (c *Client) newReport(name string, list audience.Report, counts table.Counts, entries uint64) *Report {
	hygiene := c.c.Policy.Hygiene
	people := max(list.Kept.Email, list.Kept.Phone)
	return &Report{
		Mode:     c.c.Mode.String(),
		Audience: name,
		Platform: c.c.Platform,
		List:     list,
		People:   people,
		Small:    people < hygiene.MinList,
		Distinct: counts.Added - counts.Repeats,
		Collided: counts.Collided,
		Entries:  entries,
		Epsilon:  c.c.Policy.Epsilon.String(),
		Tau:      c.c.Policy.Tau,
		Display:  hygiene.Display.String(),
		display:  hygiene.Display,
	}
}

func (r *Report) finish(s *session.Session, err error) {
	r.Queries, r.BytesSent = s.Queries(), s.BytesSent()
	if r.Entries == 0 { // the table is the platform's
		r.Entries = s.Entries()
	}
	if sid := s.SID(); sid != ([32]byte{}) {
		r.Session, r.Receipt = identity.ID(sid).String(), s.Evidence()
	}
	if err == nil {
		r.show()
	}
}

// show fills in the count as the policy wants it shown.
func (r *Report) show() {
	if r.Released = r.count.Released; !r.Released {
		return
	}
	r.Rate = r.display.Rate(r.count.N, r.People)
	if r.display == policy.DisplayExact {
		r.Count = r.count.N
	}
}

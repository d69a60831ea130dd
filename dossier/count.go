package dossier

import (
	"cmp"
	"errors"
	"slices"

	"github.com/overlap-psi/overlap/audit"
)

// counted counts people, in all and by session.
type counted struct {
	exposed, matched map[[32]byte]bool
	bySession        map[audit.Hash]*sessionCount
}

type sessionCount struct {
	exposed, matched map[[32]byte]bool
	tallies          map[[2]string]*Tally
}

func newCount() *counted {
	return &counted{map[[32]byte]bool{}, map[[32]byte]bool{}, map[audit.Hash]*sessionCount{}}
}

func (c *counted) add(p *Person) {
	s := c.bySession[p.SID]
	if s == nil {
		s = &sessionCount{map[[32]byte]bool{}, map[[32]byte]bool{}, map[[2]string]*Tally{}}
		c.bySession[p.SID] = s
	}
	t := s.tallies[[2]string{p.Kind, p.Purpose}]
	if t == nil {
		t = &Tally{Kind: p.Kind, Purpose: p.Purpose}
		s.tallies[[2]string{p.Kind, p.Purpose}] = t
	}
	c.exposed[p.Handle], s.exposed[p.Handle] = true, true
	t.Exposed++
	if p.Matched {
		c.matched[p.Handle], s.matched[p.Handle] = true, true
		t.Matched++
	}
}

func (s *sessionCount) affected() Affected {
	a := Affected{Exposed: uint64(len(s.exposed)), Matched: uint64(len(s.matched)), Identifiers: []Tally{}}
	for _, t := range s.tallies {
		a.Identifiers = append(a.Identifiers, *t)
	}
	slices.SortFunc(a.Identifiers, func(a, b Tally) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Purpose, b.Purpose)) })
	return a
}

// compare checks the contents' numbers against what was counted.
func (c *counted) compare(contents *Contents) error {
	different := errors.New("the numbers in the contents are not those of the list")
	if contents.Incident.Exposed != uint64(len(c.exposed)) || contents.Incident.Matched != uint64(len(c.matched)) {
		return different
	}
	left := len(c.bySession)
	for _, s := range contents.Sessions {
		counted := c.bySession[s.SID]
		if counted == nil {
			if s.Affected != nil && (s.Affected.Exposed > 0 || s.Affected.Matched > 0 || len(s.Affected.Identifiers) > 0) {
				return different
			}
			continue
		}
		left--
		want := counted.affected()
		if s.Affected == nil || s.Affected.Exposed != want.Exposed || s.Affected.Matched != want.Matched || !slices.Equal(s.Affected.Identifiers, want.Identifiers) {
			return different
		}
	}
	if left > 0 {
		return errors.New("the list names a session that is not there")
	}
	return nil
}

// Count counts people, who come once for each of their identifiers and sessions:
// what Contents has to say of them. Erased is left for the caller to fill in.
func Count(people []Person) (exposed, matched uint64, bySession map[audit.Hash]Affected) {
	c := newCount()
	for i := range people {
		c.add(&people[i])
	}
	bySession = map[audit.Hash]Affected{}
	for sid, s := range c.bySession {
		bySession[sid] = s.affected()
	}
	return uint64(len(c.exposed)), uint64(len(c.matched)), bySession
}

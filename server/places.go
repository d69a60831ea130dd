package server

import (
	"sync"

	"github.com/overlap-psi/overlap/identity"
)

// places bounds what there is at once, such as sessions, in all and for each
// partner, so that none keeps the others out. A session takes its place before
// anything is allocated for it.
type places struct {
	mu         sync.Mutex
	total, own int // limits
	taken      int
	by         map[identity.ID]int
}

// newPlaces gives each partner a quarter of the places, rounded up.
func newPlaces(total int) *places { return newPlacesOf(total, (total+3)/4) }

func newPlacesOf(total, own int) *places {
	return &places{total: total, own: own, by: map[identity.ID]int{}}
}

func (p *places) take(id identity.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.total || p.by[id] >= p.own {
		return false
	}
	p.taken++
	p.by[id]++
	return true
}

func (p *places) leave(id identity.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[id]--; p.by[id] == 0 {
		delete(p.by, id)
	}
}

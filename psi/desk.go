package psi

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// run is how many elements a worker takes at a time: so few that what is made of
// them stays in the processor's second cache and that no worker waits long for
// another at the end, and a whole number of those that share an inversion.
const run = 256

// desk is what one worker works on, a run at a time. What lies on it is a secret
// as long as the worker has it, and nothing afterwards. Desks are taken in turns,
// so that a chunk's work leaves nothing for the garbage collector.
type desk struct {
	queries []Query
	msgs    []byte     // to be hashed, few at a time
	hashes  [][64]byte // of them
	r       []ristretto.Scalar
	n       []Element
	points  *ristretto.Vector
}

var desks = sync.Pool{New: func() any { return new(desk) }}

// done ends the use of d.
func (d *desk) done() {
	d.clear()
	desks.Put(d)
}

func (d *desk) clear() {
	clear(d.queries[:cap(d.queries)])
	clear(d.msgs[:cap(d.msgs)])
	clear(d.hashes[:cap(d.hashes)])
	clear(d.r[:cap(d.r)])
	clear(d.n[:cap(d.n)])
	if d.points != nil {
		d.points.SetIdentity()
	}
}

// scratch is what one chunk is worked on in: what its elements decode to, and
// the coefficients of its proof. Both sides of the wire know all of it. Like
// desks, scratches are taken in turns.
type scratch struct {
	b, e               *ristretto.Vector
	d                  []ristretto.Scalar
	blinded, evaluated []Element
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// done ends the use of s.
func (s *scratch) done() { scratches.Put(s) }

// sized returns n values in the memory of buf, or else in new memory that buf
// then has. What they are is left over from before.
func sized[T any](buf *[]T, n int) []T {
	*buf = slices.Grow((*buf)[:0], n)[:n]
	return *buf
}

// vectorOf is sized for group elements.
func vectorOf(v **ristretto.Vector, n int) *ristretto.Vector {
	if *v == nil || (*v).Len() < n {
		*v = ristretto.NewVector(n)
	}
	return (*v).Slice(0, n)
}

// each has f called for every run of [0, n), by one worker for each processor: a
// worker takes the next run when it is done with one, so that all end together
// even if one is slower. It returns when all have. Nothing else in this package
// or the kernel below starts a goroutine, but through atOnce.
func each(n int, f func(d *desk, lo, hi int)) {
	runs := int64((n + run - 1) / run)
	var taken atomic.Int64
	work := func() {
		d := desks.Get().(*desk)
		defer d.done()
		for i := taken.Add(1) - 1; i < runs; i = taken.Add(1) - 1 {
			lo := int(i) * run
			f(d, lo, min(lo+run, n))
		}
	}
	atOnce(slices.Repeat([]func(){work}, min(runtime.GOMAXPROCS(0), int(runs)))...)
}

// atOnce runs all tasks and returns when the last of them has.
func atOnce(tasks ...func()) {
	if len(tasks) == 0 {
		return
	}
	var wg sync.WaitGroup
	for _, task := range tasks[1:] {
		wg.Go(task)
	}
	tasks[0]()
	wg.Wait()
}

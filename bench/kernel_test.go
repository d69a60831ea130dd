package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/bench/path"
	"github.com/overlap-psi/overlap/psi"
)

// operations are the steps of the protocol that are arithmetic. Each starts from
// bytes as they travel and ends in bytes, as it does in a session:
//
//	multiply   decode, times one secret scalar, encode
//	hash       hash to group (RFC 9497 §4.1), encode
//	blind      hash to group, blind, encode
//	finalize   decode, unblind, encode, hash (RFC 9497 §3.3.1)
//	prove      decode the blinded elements, make a chunk's proof (RFC 9497 §2.2.1)
//	verify     decode both sides' elements, check a chunk's proof (RFC 9497 §2.2.2)
var operations = []string{"multiply", "hash", "blind", "finalize", "prove", "verify"}

// implementation is one way of doing the operations, the way one writes it in Go
// with that library. What it lacks is nil.
type implementation struct {
	name  string
	path  string // which of Overlap's, if it is Overlap
	steps map[string]step
}

var implementations = []implementation{
	{path.Selected, path.Selected, overlapSteps},
	{path.Portable, path.Portable, overlapSteps},
	{"circl", path.Selected, circlSteps},
	{"go-ristretto", path.Selected, goRistrettoSteps},
	{"gtank", path.Selected, gtankSteps},
}

// step prepares to do an operation on the problem's elements. What it prepares
// isn't measured; run is.
type step func(t testing.TB, p *problem) (run func() result)

// result is what an operation yields: whatever applies of it.
type result struct {
	elements []psi.Element
	outputs  []psi.Output
	proof    []byte
	// finish turns the Holder's answer to blinded elements into outputs.
	finish func(evaluated []psi.Element) []psi.Output
	err    error
}

// proofChunk is how many elements have one proof in a session; of the others,
// fewer give the same figure sooner.
const (
	proofChunk = psi.ChunkElems
	fewer      = 1024
)

func elements(op, implementation string) int {
	if op == "prove" || op == "verify" || implementation == path.Selected {
		return proofChunk
	}
	return fewer
}

// BenchmarkKernel reports, for one element, the time (ns/elem) and this process's
// processor time (cpu-ns/elem), which a busy machine disturbs less.
func BenchmarkKernel(b *testing.B) {
	for _, op := range operations {
		b.Run(op, func(b *testing.B) {
			for _, i := range implementations {
				if prepare := i.steps[op]; prepare != nil {
					b.Run(i.name, func(b *testing.B) { benchmarkStep(b, prepare, i.path, elements(op, i.name)) })
				}
			}
		})
	}
}

func benchmarkStep(b *testing.B, prepare step, implementation string, n int) {
	p := chunk(b).first(b, n)
	use(b, implementation)
	run := prepare(b, p)
	cpu := cpuTime()
	for b.Loop() {
		if r := run(); r.err != nil {
			b.Fatal(r.err)
		}
	}
	spent := cpuTime() - cpu
	perElement := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / float64(n) }
	b.ReportMetric(perElement(b.Elapsed()), "ns/elem")
	b.ReportMetric(perElement(spent), "cpu-ns/elem")
}

// use selects an implementation for the rest of the test.
func use(t testing.TB, implementation string) {
	t.Helper()
	restore, err := path.Select(implementation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(restore)
}

// chunk is the problem that all benchmarks share, made once.
var chunk = func() func(testing.TB) *problem {
	var once sync.Once
	var p *problem
	return func(t testing.TB) *problem {
		t.Helper()
		once.Do(func() { p = newProblem(t, proofChunk) })
		if p == nil {
			t.Fatal("the chunk could not be made")
		}
		return p
	}
}()

// TestKernel: every implementation of every operation yields what it should, so
// what is measured is the whole of it.
func TestKernel(t *testing.T) {
	for _, n := range []int{1, 9, 100} {
		p := newProblem(t, n)
		for _, op := range operations {
			for _, i := range implementations {
				if prepare := i.steps[op]; prepare != nil {
					t.Run(fmt.Sprintf("%s/%s/%d", op, i.name, n), func(t *testing.T) {
						use(t, i.path)
						run := prepare(t, p)
						run() // twice, as a benchmark does
						r := run()
						if r.err != nil {
							t.Fatal(r.err)
						}
						p.check(t, op, &r)
					})
				}
			}
		}
	}
}

// TestKernelRefuses: a proof or an element that is wrong is found while it is
// measured.
func TestKernelRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*problem){
		"element":  func(p *problem) { p.additive.evaluated[3] = p.additive.evaluated[4] },
		"encoding": func(p *problem) { p.additive.evaluated[3] = psi.Element{1} },
		"proof":    func(p *problem) { p.bound[1] ^= 1; p.plain[1] ^= 1 },
	} {
		p := newProblem(t, 9)
		spoil(p)
		for _, i := range implementations {
			if prepare := i.steps["verify"]; prepare != nil {
				if r := prepare(t, p)(); r.err == nil {
					t.Errorf("%s verifies with a wrong %s", i.name, name)
				}
			}
		}
	}
}

// check compares r with what the problem's other implementations and the Holder
// itself make of the same.
func (p *problem) check(t *testing.T, op string, r *result) {
	t.Helper()
	switch op {
	case "multiply":
		same(t, r.elements, p.additive.evaluated)
	case "hash":
		same(t, r.elements, p.hashed)
	case "blind":
		evaluated := p.evaluate(t, r.elements)
		same(t, r.finish(evaluated), p.outputs)
		for i := range r.elements {
			if r.elements[i] == p.hashed[i] {
				t.Errorf("element %d is not blinded", i)
			}
		}
	case "finalize":
		same(t, r.outputs, p.outputs)
	case "prove":
		b := p.bind()
		bound := p.public.Verify(p.additive.blinded, p.additive.evaluated, (*psi.Proof)(r.proof), &b)
		plain := p.public.Verify(p.additive.blinded, p.additive.evaluated, (*psi.Proof)(r.proof), nil)
		if bound != nil && plain != nil {
			t.Errorf("the proof does not verify: %v; %v", bound, plain)
		}
	}
}

func same[T psi.Element | psi.Output](t *testing.T, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("number %d differs", i)
		}
	}
}

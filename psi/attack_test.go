package psi

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// The attacks A to D on protocols in which a side that is to learn how many match
// sends elements under blinds of its own choice and gets them back, shuffled. Each
// is first seen to succeed there: it is what a mode that shuffles would bring in.

// attackItems are the attacker's; every other one is the victim's too.
const attackItems = 24

// shuffled is the victim of such a protocol: its own set under its key, sorted,
// and what it returns of the attacker's elements, in another order.
type shuffled struct {
	key   ristretto.Scalar
	table []Element
}

func newShuffled(t *testing.T) *shuffled {
	t.Helper()
	s := &shuffled{key: randomScalar()}
	var in []Query
	for i := 0; i < attackItems; i += 2 {
		in = append(in, Query{Input: inputs(attackItems)[i]})
	}
	s.table = enc(points(in).Mul(&s.key))
	slices.SortFunc(s.table, func(a, b Element) int { return bytes.Compare(a[:], b[:]) })
	return s
}

func (s *shuffled) returns(sent *ristretto.Vector) []Element {
	e := enc(sent.Mul(&s.key))
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] })
	return e
}

// points are the hashes of inputs to the group, the identity for a pad.
func points(in []Query) *ristretto.Vector {
	v := ristretto.NewVector(0)
	v.Append(new(desk).hashToGroup(in))
	return v
}

// blindedBy multiplies each point by a scalar of its own.
func blindedBy(v *ristretto.Vector, by []ristretto.Scalar) *ristretto.Vector {
	blinded := ristretto.NewVector(0)
	for i := range by {
		blinded.Append(v.Slice(i, i+1).Mul(&by[i]))
	}
	return blinded
}

// links returns the items of which an element came back: those whose blind times
// an entry of the table is among the returned.
func links(t *testing.T, returned, table []Element, blinds []ristretto.Scalar) (found []int) {
	t.Helper()
	entries, err := decoded(table)
	must(t, err)
	for i := range blinds {
		if slices.ContainsFunc(enc(entries.Mul(&blinds[i])), func(e Element) bool { return slices.Contains(returned, e) }) {
			found = append(found, i)
		}
	}
	return found
}

func wantEvens(t *testing.T, found []int) {
	t.Helper()
	if len(found) != attackItems/2 || slices.ContainsFunc(found, func(i int) bool { return i%2 != 0 }) {
		t.Errorf("the attack finds %v where it is known to work: all even items", found)
	}
}

func scalars(n int) (s []ristretto.Scalar) {
	for range n {
		s = append(s, randomScalar())
	}
	return s
}

// TestAttackManyBlinds, A: every item gets a blind of its own, and every answer is
// tried with every blind. Here it is the Querier who blinds, every answer is at
// its place anyway, and what the n² tries give is what n questions are charged
// for: no answer unblinded with another item's blind is anything.
func TestAttackManyBlinds(t *testing.T) {
	victim, blinds := newShuffled(t), scalars(attackItems)
	returned := victim.returns(blindedBy(points(attackQueries(attackItems)), blinds))
	wantEvens(t, links(t, returned, victim.table, blinds))

	d := newAttackDeal(t)
	b, e := d.exchange(t)
	r := d.seed.scalars(new(desk), d.in, 0)
	asked, err := decoded(e)
	must(t, err)
	for i := range r { // E_j − r_i·K, finalized as every item
		unblinded := enc(asked.SubMulBase(d.Key.base, slices.Repeat(r[i:i+1], attackItems)))
		for j := range unblinded {
			out := new(desk).finalizeHashes(d.in[j:j+1], unblinded[j:j+1])[0]
			if d.has(out) != (i == j && j%2 == 0) {
				t.Errorf("answer %d with blind %d: in the table: %v", j, i, d.has(out))
			}
		}
	}
	d.wantUnlinked(t, b)
}

// TestAttackTags, B: one blind, and elements beside each item that spell its
// number. Here such an element is one more question, which is charged, and its
// answer is no entry, since no identifier is behind it.
func TestAttackTags(t *testing.T) {
	const bits = 5
	victim, a, tags := newShuffled(t), randomScalar(), scalars(bits)
	var by []ristretto.Scalar
	all := ristretto.NewVector(0)
	h := points(attackQueries(attackItems))
	for i := range attackItems {
		all.Append(h.Slice(i, i+1))
		by = append(by, a)
		for bit := range bits {
			if i>>bit&1 == 1 {
				all.Append(h.Slice(i, i+1))
				by = append(by, a.Mul(&tags[bit]))
			}
		}
	}
	returned := victim.returns(blindedBy(all, by))
	entries, err := decoded(victim.table)
	must(t, err)
	var found []int
	ours := entries.Mul(&a)
	for i := range ours.Len() {
		number := 0
		for bit := range bits {
			if slices.Contains(returned, enc(ours.Slice(i, i+1).Mul(&tags[bit]))[0]) {
				number |= 1 << bit
			}
		}
		found = append(found, number)
	}
	wantEvens(t, found)

	// Ours: as many elements as were declared and charged, or none is answered.
	d := newAttackDeal(t)
	if _, err := d.holder(t).Evaluate(Frame{Type: FrameBlinded, Body: appendElements(nil, enc(blindedBy(all, by)))}); err == nil {
		t.Error("more elements than were charged are answered")
	}
	tagged := enc(blindedBy(h, slices.Repeat([]ristretto.Scalar{tags[0]}, attackItems)))
	answer := make([]Element, attackItems)
	_, err = d.key.BlindEvaluate(answer, tagged, nil)
	must(t, err)
	for i, e := range answer {
		for j := range d.in {
			if d.has(new(desk).finalizeHashes(d.in[j:j+1], answer[i:i+1])[0]) {
				t.Errorf("the answer %x to a tag is an entry", e[:2])
			}
		}
	}
}

// TestAttackManyKeys, C, is A from the other side: the answering company takes a
// key for each element. Here it has to prove one key, the one that it signed.
func TestAttackManyKeys(t *testing.T) {
	victim, keys := newShuffled(t), scalars(attackItems)
	returned := victim.returns(blindedBy(points(attackQueries(attackItems)), keys))
	wantEvens(t, links(t, returned, victim.table, keys))

	d := newAttackDeal(t)
	d.wantRefused(t, keys)
	keys = slices.Repeat([]ristretto.Scalar{d.key.k}, attackItems)
	keys[5] = randomScalar() // a single one, to mark it
	d.wantRefused(t, keys)
}

// TestAttackOneForMany, D: a person who is answered and listed under c keys counts
// c times, and noise for one hides nobody. Here the table may hold the person c
// times; one key answers, and one entry matches, however often it is asked.
func TestAttackOneForMany(t *testing.T) {
	const c = 8
	keys := scalars(c)
	x := attackQueries(1)
	h := points(slices.Repeat(x, c))
	listed, answered := enc(blindedBy(h, keys)), enc(blindedBy(h, keys))
	if n := len(slices.DeleteFunc(answered, func(e Element) bool { return !slices.Contains(listed, e) })); n != c {
		t.Errorf("the person counts %d times where the attack is known to work", n)
	}

	d := newAttackDeal(t)
	d.in = slices.Repeat(x, attackItems)
	d.tokens = nil
	for i := range c {
		k := newKey(&keys[i])
		if i == 0 {
			k = d.key
		}
		d.add(k, x[0].Input)
	}
	if _, e := d.exchange(t); len(e) != attackItems {
		t.Fatal("no answers")
	}
	matched := map[Token]bool{}
	for _, out := range d.outputs {
		if d.has(out) {
			matched[out.Token(d.TokenLen)] = true
		}
	}
	if len(matched) != 1 {
		t.Errorf("one person, listed %d times, is %d entries", c, len(matched))
	}
	answers := append(slices.Clone(keys), slices.Repeat([]ristretto.Scalar{d.key.k}, attackItems-c)...)
	d.wantRefused(t, answers)
}

func attackQueries(n int) (in []Query) {
	for _, x := range inputs(n) {
		in = append(in, Query{Input: x})
	}
	return in
}

// attackDeal is a session of the attacker's items, of which the even ones are in
// the table.
type attackDeal struct {
	*deal
	tokens  map[Token]bool
	outputs []Output
}

func newAttackDeal(t *testing.T) *attackDeal {
	t.Helper()
	d := &attackDeal{deal: newDeal(t, attackItems, attackItems, 1)}
	d.in = attackQueries(attackItems)
	for i := 0; i < attackItems; i += 2 {
		d.add(d.key, d.in[i].Input)
	}
	return d
}

func (d *attackDeal) add(k *Key, x Input) {
	if d.tokens == nil {
		d.tokens = map[Token]bool{}
	}
	out := make([]Output, 1)
	k.Evaluate(out, []Input{x})
	d.tokens[out[0].Token(d.TokenLen)] = true
}

func (d *attackDeal) has(out Output) bool { return d.tokens[out.Token(d.TokenLen)] }

// exchange asks and answers honestly.
func (d *attackDeal) exchange(t *testing.T) (blinded, evaluated []Element) {
	t.Helper()
	q := d.querier(t)
	b, err := q.Blind(d.in)
	must(t, err)
	e, err := d.holder(t).Evaluate(b)
	must(t, err)
	d.outputs, err = q.Finalize(e)
	must(t, err)
	return elements(b.Body), elements(e.Body[:len(b.Body)])
}

// wantUnlinked: the answering side knows every item there could be, and takes each
// from each question. Two questions under one blind would leave the same twice.
func (d *attackDeal) wantUnlinked(t *testing.T, blinded []Element) {
	t.Helper()
	h, b := points(d.in), func() *ristretto.Vector { v, err := decoded(blinded); must(t, err); return v }()
	minus := ristretto.Scalar{}
	one := ristretto.ScalarFromUniform(&[64]byte{1})
	minus = minus.Sub(&one)
	repeated := func(b *ristretto.Vector) (n int) {
		seen := map[Element]bool{}
		for i := range d.in {
			negative := h.Slice(i, i+1).Mul(&minus)
			for j := range d.in {
				e := enc(b.Slice(j, j+1).Add(negative))[0]
				if seen[e] {
					n++
				}
				seen[e] = true
			}
		}
		return n
	}
	if n := repeated(b); n != 0 {
		t.Errorf("%d blinds are used again", n)
	}
	r := randomScalar()
	if repeated(h.AddMulBase(ristretto.Generator(), slices.Repeat([]ristretto.Scalar{r}, len(d.in)))) == 0 {
		t.Error("one blind for all would not be noticed")
	}
}

// wantRefused: answers under these keys, with the best proof there is, end the
// session before the Querier has an output or says anything more.
func (d *attackDeal) wantRefused(t *testing.T, keys []ristretto.Scalar) {
	t.Helper()
	q := d.querier(t)
	b, err := q.Blind(d.in)
	must(t, err)
	asked, err := decoded(elements(b.Body))
	must(t, err)
	wrong := enc(blindedBy(asked, keys))
	bind, nonce := NewBind(&d.SID, 0, elements(b.Body), wrong), randomScalar()
	p := generateProof(new(scratch), d.key, asked, elements(b.Body), wrong, bind[:], &nonce)
	outs, err := q.Finalize(Frame{Type: FrameEvaluated, Body: append(appendElements(nil, wrong), p[:]...)})
	wantAbort(t, "answers under several keys", err, AbortProof)
	if outs != nil {
		t.Error("there are outputs of them")
	}
	wantEnded(t, "answers under several keys", q, AbortProof)
}

package ristretto

import "github.com/bwesterb/go-ristretto/edwards25519"

// Base is one element, not the identity, with a table of its multiples that
// makes multiplying it some four times as fast as Vector.Mul. It is public and
// costs 60 KiB. A zero Base panics when used.
type Base struct {
	// Rows j = 0 to 31 of 1 to 8 times 256^j·B. A scalar in signed digits of
	// four bits is Σ 16·256^j·odd_j + Σ 256^j·even_j, so both halves of it use
	// the same rows. The digit's entry is selected by reading its whole row.
	table *edwards25519.ScalarMultTable
	// The same, in limbs that the lanes can use.
	rows *[32][8]niels
}

// Generator returns the generator of RFC 9496 §4.1, G in PROTOCOL.md.
func Generator() *Base {
	b := generator
	return &b
}

var generator = newBase(&edwards25519.BaseScalarMultTable)

func newBase(table *edwards25519.ScalarMultTable) Base {
	b := Base{table, new([32][8]niels)}
	for i := range table {
		for j := range table[i] {
			from, to := &table[i][j], &b.rows[i][j]
			to.yPlusX, to.yMinusX, to.t2d = reduced(&from.YPlusX), reduced(&from.YMinusX), reduced(&from.XY2D)
		}
	}
	return b
}

// reduced returns the limbs of x, canonical.
func reduced(x *edwards25519.FieldElement) (limbs [5]uint64) {
	var b [32]byte
	x.BytesInto(&b)
	var z lanes
	z.setBytes(0, &b)
	for i := range limbs {
		limbs[i] = z[i][0]
	}
	return limbs
}

// NewBase decodes an element and makes its table. Its error is a *DecodeError.
func NewBase(encoded *[32]byte) (*Base, error) {
	v, err := Decode([][32]byte{*encoded})
	if err != nil {
		return nil, err
	}
	var table edwards25519.ScalarMultTable
	table.Compute(&v.p[0])
	b := newBase(&table)
	return &b, nil
}

// Mul returns the elements r_i·B. r is secret.
func (b *Base) Mul(r []Scalar) *Vector {
	product := newVector(len(r))
	if eight {
		mulBaseEight(product.p, b, r)
		return product
	}
	for i := range r {
		b.mul(&product.p[i], &r[i])
	}
	return product
}

// AddMulBase returns the elements v_i + r_i·B. r is secret and has the length
// of v.
func (v *Vector) AddMulBase(b *Base, r []Scalar) *Vector {
	mustMatch(len(v.p), len(r))
	sum := newVector(len(r))
	if eight {
		addMulBaseEight(sum.p, v.p, plus, b, r)
		return sum
	}
	var t edwards25519.ExtendedPoint
	for i := range r {
		b.mul(&t, &r[i])
		sum.p[i].Add(&v.p[i], &t)
	}
	return sum
}

// SubMulBase returns the elements v_i − r_i·B. r is secret and has the length
// of v.
func (v *Vector) SubMulBase(b *Base, r []Scalar) *Vector {
	mustMatch(len(v.p), len(r))
	difference := newVector(len(r))
	if eight {
		addMulBaseEight(difference.p, v.p, minus, b, r)
		return difference
	}
	var t edwards25519.ExtendedPoint
	for i := range r {
		b.mul(&t, &r[i])
		difference.p[i].Sub(&v.p[i], &t)
	}
	return difference
}

// AddMulBaseEncode sets dst[i] to the encoding of v_i + r_i·B:
// v.AddMulBase(b, r).Encode(dst), without a Vector in between. r is secret; dst
// and r have the length of v.
func (v *Vector) AddMulBaseEncode(dst [][32]byte, b *Base, r []Scalar) {
	mustMatch(len(v.p), len(r))
	mustMatch(len(dst), len(r))
	if eight {
		addMulBaseEncodeEight(dst, v.p, plus, b, r)
		return
	}
	var t edwards25519.ExtendedPoint
	for i := range r {
		b.mul(&t, &r[i])
		t.Add(&v.p[i], &t)
		t.RistrettoInto(&dst[i])
	}
}

// SubMulBaseEncode sets dst[i] to the encoding of v_i − r_i·B, as
// AddMulBaseEncode does of the sum.
func (v *Vector) SubMulBaseEncode(dst [][32]byte, b *Base, r []Scalar) {
	mustMatch(len(v.p), len(r))
	mustMatch(len(dst), len(r))
	if eight {
		addMulBaseEncodeEight(dst, v.p, minus, b, r)
		return
	}
	var t edwards25519.ExtendedPoint
	for i := range r {
		b.mul(&t, &r[i])
		t.Sub(&v.p[i], &t)
		t.RistrettoInto(&dst[i])
	}
}

func (b *Base) mul(p *edwards25519.ExtendedPoint, r *Scalar) {
	digits := r.Bytes()
	b.table.ScalarMult(p, &digits)
}

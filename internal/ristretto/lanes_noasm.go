//go:build !amd64 || purego

package ristretto

import "github.com/bwesterb/go-ristretto/edwards25519"

// There is no assembly here. What these functions do is said in lanes_amd64.go.
const hasIFMA = false

var ifma = hasIFMA

func (z *lanes) mul(x, y *lanes)                          { mulGeneric(z, x, y) }
func (z *lanes) square(x *lanes, n int)                   { squareGeneric(z, x, n) }
func squareTwo(z, x *[2]lanes, n int)                     { squareTwoGeneric(z, x, n) }
func (z *lanes) add(x, y *lanes)                          { addGeneric(z, x, y) }
func (z *lanes) sub(x, y *lanes)                          { subGeneric(z, x, y) }
func (z *lanes) choose(x, y *lanes, m *mask)              { chooseGeneric(z, x, y, m) }
func (z *lanes) canonical(x *lanes)                       { canonicalGeneric(z, x) }
func (p *points) double(n int)                            { doubleGeneric(p, n) }
func (p *points) add(q *cached)                           { addCachedGeneric(p, q) }
func (p *points) addAffine(q *affine)                     { addAffineGeneric(p, q) }
func (z *cached) pick(t *[8]cached, digits *[width]int64) { selectCachedGeneric(z, t, digits) }
func (z *affine) pick(t *[8]niels, digits *[width]int64)  { selectAffineGeneric(z, t, digits) }
func (z *affine) negateIf(x *affine, m *mask)             { negateAffineGeneric(z, x, m) }

func (z *points) gather(p []edwards25519.ExtendedPoint, at *[width]int64)  { gatherGeneric(z, p, at) }
func (x *points) scatter(p []edwards25519.ExtendedPoint, at *[width]int64) { scatterGeneric(p, at, x) }

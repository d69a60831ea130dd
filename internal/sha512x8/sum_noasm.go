//go:build !amd64 || purego

package sha512x8

const hasLanes = false

type lanes struct{}

func newLanes([]byte) lanes { return lanes{} }

func (p *Prefix) sumLanes([][64]byte, []byte, int) {
	panic("sha512x8: no lanes on this machine")
}

//go:build !amd64 || purego

package sha256x16

const (
	hasLanes = false
	fewest   = 16
)

func (b batch) sumLanes(dst []byte) {
	if len(dst) > 0 {
		panic("sha256x16: no lanes on this machine")
	}
}

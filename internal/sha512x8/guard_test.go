//go:build linux

package sha512x8

import (
	"testing"

	"github.com/overlap-psi/overlap/internal/guardpage"
)

// TestNothingElseIsRead: a read beyond the messages would end the test.
func TestNothingElseIsRead(t *testing.T) {
	each(t, func(t *testing.T, i implementation) {
		for _, n := range []int{1, 3, 8, 9} {
			for _, end := range []bool{false, true} {
				room := guardpage.Between(t, n*300, end)
				for msgLen := range 301 {
					msgs := room[:n*msgLen]
					if end {
						msgs = room[len(room)-n*msgLen:]
					}
					checkBatch(t, i, none, nil, msgs, msgLen, n)
				}
			}
		}
	})
}

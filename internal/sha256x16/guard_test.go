//go:build linux

package sha256x16

import (
	"testing"

	"github.com/overlap-psi/overlap/internal/guardpage"
)

// TestNothingElseIsRead: a read beyond the messages would end the test, on
// either side: a prefix's bytes come before a message and are not there.
func TestNothingElseIsRead(t *testing.T) {
	each(t, func(t *testing.T, i implementation) {
		for _, n := range []int{1, 3, 16, 17} {
			for _, end := range []bool{false, true} {
				room := guardpage.Between(t, n*150, end)
				for msgLen := range 151 {
					msgs := room[:n*msgLen]
					if end {
						msgs = room[len(room)-n*msgLen:]
					}
					for _, prefix := range []string{"", "\x00", "AMPSI-V01-consent"} {
						check(t, i, batch{[]byte(prefix), msgs, msgLen, msgLen}, n)
					}
				}
			}
		}
	})
}

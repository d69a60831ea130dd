package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// What the side that isn't to learn the matches can see does not depend on them:
// the same frames of the same lengths in the same order, whether everybody, somebody
// or nobody matches. In the mutual modes the claims are what differs, and only they.
func TestSessionsLookAlike(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_releases = 100"), members(300), func(t *testing.T, w *world) {
		for mode, claims := range map[client.Mode]bool{client.ALearns: false, client.PLearns: false, client.MutualA: true, client.MutualP: true} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			var shapes [][]string
			for _, first := range []int{0, 150, 1000} { // everybody, half of them, nobody
				var shape []string
				w.shop.on = func(m moment, f *ampsiv1.Frame) {
					if m != sent && psi.FrameType(f.Type) != psi.FrameClaims {
						shape = append(shape, fmt.Sprintf("%v %v %d of %d", m, psi.FrameType(f.Type), f.Seq, len(f.Body)))
					}
				}
				rows, _, err := w.shop.matchIn(mode, name, people(first, first+300)...)
				must(t, err)
				if want := max(0, 300-first); mode != client.PLearns && len(rows) != want {
					t.Errorf("%v: %d rows matched, want %d", mode, len(rows), want)
				}
				shapes = append(shapes, shape)
			}
			w.shop.on = nil
			for _, shape := range shapes[1:] {
				if !slices.Equal(shape, shapes[0]) {
					t.Errorf("%v: two sessions differ:\n%s\n%s", mode, strings.Join(shapes[0], "\n"), strings.Join(shape, "\n"))
				}
			}
			if !claims && len(shapes[0]) < 9 {
				t.Errorf("%v: only %d frames were looked at", mode, len(shapes[0]))
			}
		}
	})
}

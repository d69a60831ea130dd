package session

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// telling is liberal with labels.
func telling(t *testing.T, labelLen int) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(bytes.Replace(liberal().Bytes(), []byte("label_len = 0"), fmt.Appendf(nil, "label_len = %d", labelLen), 1))
	if err != nil || p.LabelLen != uint64(labelLen) {
		t.Fatal("the default policy has another label_len", err)
	}
	return p
}

// Where the advertiser asks, it is told what the entries of its matches say, and
// nothing of the others. A label that its Holder has spoiled is its match's alone:
// the session is complete all the same, and the Holder isn't told.
func TestLabels(t *testing.T) {
	for _, labelLen := range []int{2, 34, 480} {
		for _, mode := range everyMode {
			t.Run(fmt.Sprintf("%d in %v", labelLen, mode), func(t *testing.T) {
				t.Parallel()
				text := func(i int) string { return fmt.Sprint("segment ", i)[:min(labelLen-2, 9)] }
				b := meetIn(t, mode, func(a, p *company, _, _ *pipe) {
					a.c.Policy, p.c.Policy = telling(t, labelLen), telling(t, labelLen)
					p.label = func(i int) (string, bool) { return text(i), i%5 == 0 }
				})
				if b.aErr != nil || b.pErr != nil || slices.Contains(b.frames, psi.FrameAbort) {
					t.Fatalf("advertiser: %v; platform: %v", b.aErr, b.pErr)
				}
				checkReceipts(t, b, mode)
				if !mode.AdvertiserAsks() {
					if b.a.s.LabelLen() != 0 || b.p.s.LabelLen() != 0 || b.p.told != nil {
						t.Error("there are labels where the platform asks")
					}
					return
				}
				if len(b.a.told) != 200 || b.a.s.LabelLen() != labelLen || b.a.s.TableID() != b.p.s.TableID() {
					t.Fatalf("%d labels", len(b.a.told))
				}
				for _, l := range b.a.told {
					i := l.i - 100 // the platform's index
					if spoilt := i%5 == 0; errors.Is(l.err, psi.ErrLabel) != spoilt || !spoilt && l.text != text(i) {
						t.Errorf("label %d is %q, %v", i, l.text, l.err)
					}
				}
			})
		}
	}
}

// Labels are as long as the policy says, in each mode: HELLO and OPEN with others
// are refused.
func TestLabelLengthIsThePolicys(t *testing.T) {
	silent, chatty := liberal(), telling(t, 34)
	for _, c := range []struct {
		agreed *policy.Policy
		mode   psi.Mode
		asked  uint32
	}{
		{silent, psi.ALearns, 34}, {silent, psi.MutualA, 2}, {chatty, psi.ALearns, 0}, {chatty, psi.MutualA, 33},
		{chatty, psi.ALearns, 34 + 1<<16}, {chatty, psi.PLearns, 34}, {chatty, psi.MutualP, 34},
	} {
		for _, where := range []psi.FrameType{psi.FrameHello, psi.FrameOpenQ, psi.FrameOpenH} {
			t.Run(fmt.Sprintf("%d under %d in %v of %v", c.asked, c.agreed.LabelLen, where, c.mode), func(t *testing.T) {
				t.Parallel()
				byA := where == psi.FrameHello || (where == psi.FrameOpenQ) == c.mode.AdvertiserAsks()
				b := meetIn(t, c.mode, func(a, p *company, fromA, fromP *pipe) {
					a.c.Policy, p.c.Policy = c.agreed, c.agreed
					p.label = func(int) (string, bool) { return "", false }
					attacker, from := p, fromP
					if byA {
						attacker, from = a, fromA
					}
					switch by := attacker.c.Identity; where {
					case psi.FrameHello:
						onFrame(from, where, resigned(nil, 0, new(ampsiv1.Hello), func(m *ampsiv1.Hello) { m.LabelLen = c.asked }))
					case psi.FrameOpenQ:
						onFrame(from, where, resigned(by, psi.SenderQuerier, new(ampsiv1.OpenQ), func(m *ampsiv1.OpenQ) { m.Terms.LabelLen = c.asked }))
					default:
						onFrame(from, where, resigned(by, psi.SenderHolder, new(ampsiv1.OpenH), func(m *ampsiv1.OpenH) { m.Terms.LabelLen = c.asked }))
					}
				})
				noticed := b.aErr
				if byA {
					noticed = b.pErr
				}
				if Code(noticed) != psi.AbortTerms {
					t.Errorf("%v, want code %d", noticed, psi.AbortTerms)
				}
			})
		}
	}
}

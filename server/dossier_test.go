package server_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/inquiry"
	books "github.com/overlap-psi/overlap/logbook"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/server"
)

// dossier makes an evidence file in which everybody is affected, has it verified, and
// returns what it says of the sessions.
func (w *world) dossier() []dossier.Session {
	w.t.Helper()
	synctest.Wait()
	book, err := books.Open(server.LogsDir(w.dir), w.identity, w.db)
	must(w.t, err)
	affected, err := consent.ParsePredicate([]string{"purpose=ads_matching"})
	must(w.t, err)
	p := &inquiry.Platform{Store: w.db, Book: book, Evidence: server.EvidenceDir(w.dir)}
	var file bytes.Buffer
	_, err = p.WriteDossier(w.t.Context(), &file, &inquiry.Request{Platform: w.identity, Question: &inquiry.Question{Predicate: affected}}, inquiry.Reader{Who: "test", Reason: "test"})
	must(w.t, err)
	report, err := dossier.Verify(bytes.NewReader(file.Bytes()), int64(file.Len()), &dossier.Trust{Platform: w.identity.ID()})
	must(w.t, err)
	must(w.t, report.Err())
	return report.Contents.Sessions
}

// What a session can be audited with could not be kept: it is not on record as
// signed, and the evidence of all sessions can be made.
func TestSessionThatCouldNotBeKept(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 9"), members(20), func(t *testing.T, w *world) {
		w.sending = func(_ context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) != psi.FrameBlinded {
				return
			}
			begun, err := filepath.Glob(filepath.Join(server.EvidenceDir(w.dir), "*.unsealed"))
			must(t, err)
			for _, dir := range begun { // nothing can be written there
				must(t, os.Mkdir(filepath.Join(dir, "digests"), 0o700))
			}
		}
		if _, err := w.shop.match("spring", people(0, 10)...); err == nil {
			t.Fatal("a session that could not be kept is complete")
		}
		w.sending = nil
		_, err := w.shop.match("spring", people(0, 10)...)
		must(t, err)
		got := w.dossier()
		if len(got) != 2 || got[0].Signed || got[0].Unkept || !got[1].Signed {
			t.Errorf("the evidence says %+v", got)
		}
		for _, s := range w.sessions() {
			r, err := receipt.Parse(s.Receipt)
			must(t, err)
			if complete := s.Outcome == "complete"; complete != (len(r.Seal) > 0) {
				t.Errorf("of a session that is %s a SEAL of %d bytes is on record", s.Outcome, len(r.Seal))
			}
		}
	})
}

// A session is on record as signed that broke, and nothing was kept of it: it counts
// as not signed, and the evidence says so.
func TestEvidenceOfASessionWithout(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 9", "resume_seconds = 0"), members(20), func(t *testing.T, w *world) {
		w.shop.on = at(got, psi.FrameSeal, func(*ampsiv1.Frame) { w.shop.hangUp() })
		if _, err := w.shop.match("spring", people(0, 10)...); err == nil {
			t.Fatal("a session without an advertiser is complete")
		}
		if s := w.dossier()[0]; !s.Signed || s.Unkept {
			t.Errorf("of a session that was kept the evidence says %+v", s)
		}
		must(t, os.RemoveAll(filepath.Join(server.EvidenceDir(w.dir), fmt.Sprintf("%x", w.sessions()[0].SID))))
		if s := w.dossier()[0]; s.Signed || !s.Unkept || s.Affected == nil || s.Affected.Exposed != 20 || s.Affected.Matched != 0 {
			t.Errorf("of a session that was not kept the evidence says %+v", s)
		}
	})
}

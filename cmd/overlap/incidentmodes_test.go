package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// The evidence of a session verifies in each mode, with sides of different sizes,
// and whatever else the platform signs of it does not.
func TestIncidentInEachMode(t *testing.T) {
	for _, mode := range []string{"p-learns", "a-learns", "mutual-a", "mutual-p"} {
		t.Run(mode, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			must(t, (&demoCommand{Dir: dir, Rows: 400, Users: 3000, modeFlag: modeFlag{Mode: mode}}).Run(t.Context()))
			platform, err := identity.Load(filepath.Join(dir, "platform/identity"))
			must(t, err)
			whole := modeEvidence(t, dir, platform)
			verify := func(a *archive) *dossier.Report {
				file := a.bytes(t)
				report, err := dossier.Verify(bytes.NewReader(file), int64(len(file)), &dossier.Trust{Platform: platform.ID()})
				must(t, err)
				return report
			}
			report := verify(whole)
			must(t, report.Err())
			s := report.Contents.Sessions[0]
			if !s.Signed || s.Outcome != "complete" || s.Asked == s.Listed || s.Affected == nil || s.Affected.Exposed == 0 {
				t.Errorf("of the session it says %+v, %+v", s, s.Affected)
			}
			if got := report.Contents.Incident.Matched > 0; got != (mode != "a-learns") {
				t.Errorf("%d matched", report.Contents.Incident.Matched)
			}
			for what, change := range modeLies(t, fmt.Sprintf("%x", s.SID[:]), mode) {
				a := whole.clone()
				change(a)
				a.sign(t, platform)
				if verify(a).Err() == nil {
					t.Errorf("%s: it verifies", what)
				}
			}
		})
	}
}

// modeEvidence is the evidence file of a demo, in which everybody is affected.
func modeEvidence(t *testing.T, dir string, platform *identity.Identity) *archive {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, demoStore))
	must(t, err)
	defer db.Close()
	work := filepath.Join(dir, "platform/work")
	book, err := logbook.Open(server.LogsDir(work), platform, db)
	must(t, err)
	p := &inquiry.Platform{Store: db, Book: book, Evidence: server.EvidenceDir(work)}
	affected, err := consent.ParsePredicate([]string{"purpose=ads_matching"})
	must(t, err)
	name := filepath.Join(dir, "evidence.zip")
	must(t, writePrivate(name, func(w io.Writer) error {
		_, err := p.WriteDossier(t.Context(), w, &inquiry.Request{Platform: platform, Question: &inquiry.Question{Predicate: affected}}, inquiry.Reader{Who: "test", Reason: "test"})
		return err
	}))
	return readArchive(t, name)
}

// modeLies are what a platform might rather say of a session of the mode.
func modeLies(t *testing.T, sid, mode string) map[string]func(a *archive) {
	session := func(change func(s *dossier.Session)) func(a *archive) {
		return func(a *archive) { a.contents(t, func(c *dossier.Contents) { change(&c.Sessions[0]) }) }
	}
	lies := map[string]func(a *archive){
		"no receipt":         session(func(s *dossier.Session) { s.Signed = false }),
		"it failed":          session(func(s *dossier.Session) { s.Outcome = "failed" }),
		"fewer records":      session(func(s *dossier.Session) { s.Asked-- }),
		"a shorter list":     session(func(s *dossier.Session) { s.Listed-- }),
		"matches, or none":   session(func(s *dossier.Session) { s.Matched = !s.Matched }),
		"nobody was exposed": session(func(s *dossier.Session) { s.Affected = nil }),
		"somebody matched, or one fewer": func(a *archive) {
			from, to := ",matched,", ",exposed,"
			if mode == "a-learns" {
				from, to = to, from
			}
			a.files["affected.csv"] = bytes.Replace(a.files["affected.csv"], []byte(from), []byte(to), 1)
		},
		"another key in the receipt": func(a *archive) {
			name := "receipts/" + sid + ".json"
			a.files[name] = bytes.Replace(a.files[name], []byte(`"seal_sig": "`), []byte(`"seal_sig": "AA`), 1)
		},
	}
	for _, other := range []string{"P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"} {
		if other != strings.ToUpper(strings.ReplaceAll(mode, "-", "_")) {
			lies["it was "+other] = session(func(s *dossier.Session) { s.Mode = other })
		}
	}
	return lies
}

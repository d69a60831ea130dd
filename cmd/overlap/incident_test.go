package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
)

// archive is an evidence file, taken apart.
type archive struct {
	names []string
	files map[string][]byte
}

func readArchive(t *testing.T, name string) *archive {
	t.Helper()
	z, err := zip.OpenReader(name)
	must(t, err)
	defer z.Close()
	a := &archive{files: map[string][]byte{}}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		a.names = append(a.names, f.Name)
		a.files[f.Name] = content
	}
	return a
}

func (a *archive) bytes(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range a.names {
		w, err := z.Create(name)
		must(t, err)
		_, err = w.Write(a.files[name])
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

func (a *archive) clone() *archive {
	c := &archive{names: slices.Clone(a.names), files: map[string][]byte{}}
	for name, content := range a.files {
		c.files[name] = bytes.Clone(content)
	}
	return c
}

// sign signs what is in the archive now, as its platform can.
func (a *archive) sign(t *testing.T, i *identity.Identity) {
	t.Helper()
	var sums bytes.Buffer
	for _, name := range a.names {
		if !strings.HasPrefix(name, "SHA256SUMS") {
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(a.files[name]), name)
		}
	}
	signer, err := audit.NewSigner(logbook.PublicName(i.ID()), i.Key())
	must(t, err)
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("overlap dossier\n%x\n", sha256.Sum256(sums.Bytes()))}, signer)
	must(t, err)
	a.files["SHA256SUMS"], a.files["SHA256SUMS.sig"] = sums.Bytes(), signed
}

// contents changes contents.json.
func (a *archive) contents(t *testing.T, change func(c *dossier.Contents)) {
	t.Helper()
	c := new(dossier.Contents)
	must(t, json.Unmarshal(a.files["contents.json"], c))
	change(c)
	text, err := json.Marshal(c)
	must(t, err)
	a.files["contents.json"] = text
}

// TestIncident plays the whole story, and then has the evidence tampered with, by
// a stranger and by the platform itself, which signs whatever it likes.
func TestIncident(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "story")
	must(t, (&demoIncident{Dir: dir}).Run(context.Background()))
	told, err := os.ReadFile(filepath.Join(dir, "platform/notify.txt"))
	must(t, err)
	var want strings.Builder
	for i := alsoConsented; i < mislabelled; i++ {
		if i != erasedBefore {
			fmt.Fprintln(&want, account(i))
		}
	}
	if string(told) != want.String() {
		t.Error("the list of those to notify is not exactly those affected")
	}
	platform, err := identity.Load(filepath.Join(dir, "platform/identity"))
	must(t, err)
	whole := readArchive(t, filepath.Join(dir, "evidence/evidence.zip"))
	holds := func(a *archive) bool {
		file := a.bytes(t)
		report, err := dossier.Verify(bytes.NewReader(file), int64(len(file)), &dossier.Trust{Platform: platform.ID()})
		return err == nil && report.Err() == nil
	}
	if !holds(whole) {
		t.Fatal("the evidence does not verify as it is")
	}
	t.Run("changed by anybody", func(t *testing.T) {
		for _, name := range whole.names {
			for _, at := range []int{0, len(whole.files[name]) / 2, len(whole.files[name]) - 1} {
				a := whole.clone()
				a.files[name][at] ^= 1
				if holds(a) {
					t.Errorf("byte %d of %s can be changed", at, name)
				}
			}
			a := whole.clone()
			a.names = slices.DeleteFunc(a.names, func(n string) bool { return n == name })
			if holds(a) {
				t.Errorf("%s can be left out", name)
			}
		}
		a := whole.clone()
		a.names, a.files["more"] = append(a.names, "more"), []byte("more")
		if holds(a) {
			t.Error("a file can be added")
		}
	})
	t.Run("changed and signed by the platform", func(t *testing.T) { lies(t, whole, platform, holds) })
}

// lies are what a platform might rather say.
func lies(t *testing.T, whole *archive, platform *identity.Identity, holds func(*archive) bool) {
	same := whole.clone()
	same.sign(t, platform)
	if !holds(same) {
		t.Fatal("signed again, the evidence does not verify")
	}
	var sessions []dossier.Session
	whole.clone().contents(t, func(c *dossier.Contents) { sessions = c.Sessions })
	sid := func(i int) string { return fmt.Sprintf("%x", sessions[i].SID[:]) }
	line := func(a *archive, change func(lines []string) []string) {
		lines := strings.SplitAfter(string(a.files["affected.csv"]), "\n")
		a.files["affected.csv"] = []byte(strings.Join(change(lines), ""))
	}
	for what, change := range map[string]func(a *archive){
		"fewer accounts exposed": func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Incident.Exposed-- }) },
		"fewer accounts matched": func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Incident.Matched = 0 }) },
		"another question":       func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Incident.Predicate = "source=crm-8" }) },
		"a session left out":     func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Sessions = c.Sessions[1:] }) },
		"a session that failed":  func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Sessions[0].Outcome = "failed" }) },
		"another advertiser": func(a *archive) {
			a.contents(t, func(c *dossier.Contents) { c.Sessions[0].Advertiser = c.Sessions[1].Advertiser })
		},
		"the matches not disclosed": func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Sessions[0].Matched = false }) },
		"no receipt":                func(a *archive) { a.contents(t, func(c *dossier.Contents) { c.Sessions[0].Signed = false }) },
		"a person left out":         func(a *archive) { line(a, func(l []string) []string { return slices.Delete(l, 3, 4) }) },
		"a person who did not match": func(a *archive) {
			a.files["affected.csv"] = bytes.Replace(a.files["affected.csv"], []byte(",matched,"), []byte(",exposed,"), 1)
		},
		"another source": func(a *archive) {
			a.files["affected.csv"] = bytes.Replace(a.files["affected.csv"], []byte(",crm-7,"), []byte(",web,"), 1)
		},
		"the matches of another session": func(a *archive) { a.files["matches/"+sid(0)] = a.files["matches/"+sid(1)] },
		"fewer matches": func(a *archive) {
			m := a.files["matches/"+sid(0)]
			a.files["matches/"+sid(0)] = m[:len(m)-8]
		},
		"the proofs of another session":   func(a *archive) { a.files["proofs/"+sid(0)] = a.files["proofs/"+sid(2)] },
		"the receipt of another session":  func(a *archive) { a.files["receipts/"+sid(0)+".json"] = a.files["receipts/"+sid(2)+".json"] },
		"the openings of another session": func(a *archive) { a.files["audits/"+sid(0)] = a.files["audits/"+sid(2)] },
		"another summary": func(a *archive) {
			a.files["summary.html"] = bytes.Replace(a.files["summary.html"], []byte(">49<"), []byte(">4<"), 1)
		},
		"another policy": func(a *archive) {
			for name := range a.files {
				if strings.HasPrefix(name, "policies/") && strings.HasSuffix(name, ".toml") {
					a.files[name] = bytes.Replace(a.files[name], []byte("tau     = 100"), []byte("tau     = 101"), 1)
				}
			}
		},
		"a log without its last entries": func(a *archive) {
			for name, content := range a.files {
				if strings.HasPrefix(name, "log/tile/entries/") {
					a.files[name] = content[:len(content)-300]
				}
			}
		},
	} {
		a := whole.clone()
		change(a)
		a.sign(t, platform)
		if holds(a) {
			t.Errorf("%s: it verifies", what)
		}
	}
	stranger, err := identity.New("Stranger")
	must(t, err)
	a := whole.clone()
	a.sign(t, stranger)
	if holds(a) {
		t.Error("signed by a stranger, it verifies")
	}
}

package server_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// found is what was read where.
type found struct {
	t     *testing.T
	texts map[string]*strings.Builder
}

func (p *found) add(place string, b []byte) {
	if p.texts[place] == nil {
		p.texts[place] = new(strings.Builder)
	}
	p.texts[place].Write(b)
	p.texts[place].WriteByte('\n')
}

// tree adds every file below a directory, under the name of its kind.
func (p *found) tree(place, dir string) {
	p.t.Helper()
	must(p.t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		p.add(place, []byte(strings.TrimPrefix(path, dir))) // a name is a place, too
		p.add(place, b)
		return err
	}))
}

// unnamed adds the open files of a directory that have lost their name.
func (p *found) unnamed(place, dir string) {
	p.t.Helper()
	open, _ := os.ReadDir("/proc/self/fd") // where there is none, there are no such files
	for _, fd := range open {
		link := filepath.Join("/proc/self/fd", fd.Name())
		if path, err := os.Readlink(link); err == nil && strings.HasPrefix(path, dir+"/") && strings.HasSuffix(path, " (deleted)") {
			b, err := os.ReadFile(link)
			must(p.t, err)
			p.add(place, b)
		}
	}
}

// People whose identifiers are nowhere else are planted in both companies' files.
// Whatever honest and dishonest sessions say, send and leave behind, they are not in
// it: neither raw nor hashed, in any spelling. Where the platform keeps its accounts
// (its store, and a snapshot while a session runs), they are, or the test would find
// nothing anywhere.
func TestCanary(t *testing.T) {
	t.Parallel()
	facts := members(40)
	for i := range facts {
		facts[i].AccountID = fmt.Sprintf("canary-account-%d", i)
	}
	inBubble(t, agreed(t, "max_releases = 100"), facts, func(t *testing.T, w *world) {
		w.shop.Log = slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var secrets planted
		for i := range 60 {
			p := []byte(person(i))
			sum := sha256.Sum256(p)
			twice, sha, md := sha256.Sum256(sum[:]), sha1.Sum(p), md5.Sum(p)
			for what, b := range map[string][]byte{"an identifier": p, "a SHA-256": sum[:], "a SHA-256 of one": twice[:], "a SHA-1": sha[:], "an MD5": md[:]} {
				secrets.add(what, b)
			}
		}
		for _, f := range facts {
			sum := sha256.Sum256([]byte(f.AccountID))
			secrets.add("an account", []byte(f.AccountID))
			secrets.add("an account's SHA-256", sum[:])
		}
		seen := &found{t, map[string]*strings.Builder{}}
		store := &found{t, map[string]*strings.Builder{}}
		for _, c := range mischief {
			w.shop.on = func(m moment, f *ampsiv1.Frame) {
				if m == sending && c.at == psi.FrameType(f.Type) && c.do != nil {
					c.do(f)
				}
				if m != sent {
					seen.add("a frame", append(append([]byte{}, f.Body...), f.Sig...))
				}
				if psi.FrameType(f.Type) == psi.FrameSeal {
					seen.unnamed("the advertiser's spill files", w.shop.Dir)
					store.unnamed("the snapshot", w.dir)
				}
			}
			report, err := w.shop.match("spring", people(20, 60)...)
			text, e := json.Marshal(report)
			must(t, e)
			seen.add("a report", fmt.Appendf(text, "%+v %#v", report, report))
			seen.add("an error", fmt.Appendf(nil, "%v %+v %#v %v", err, err, err, status.Convert(err).Proto()))
			if report != nil && report.Receipt != nil {
				seen.add("a receipt", report.Receipt.Bytes())
			}
		}
		w.shop.on = nil
		synctest.Wait()
		seen.add("the logs of the programs", []byte(w.log.String()))
		seen.tree("the platform's directory", w.dir)
		seen.tree("the advertiser's directory", w.shop.Dir)
		for _, place := range []string{"a frame", "a report", "an error", "a receipt", "the logs of the programs", "the platform's directory", "the advertiser's directory"} {
			if seen.texts[place] == nil || seen.texts[place].Len() < 100 {
				t.Errorf("there is too little in %s to find anything in", place)
			}
		}
		for place, text := range seen.texts {
			for spelling, what := range secrets.spellings {
				if strings.Contains(text.String(), spelling) {
					t.Errorf("%s is in %s", what, place)
				}
			}
		}
		// What finds nothing above finds what is there.
		database, err := os.ReadFile(strings.TrimPrefix(w.url, "sqlite:"))
		must(t, err)
		wal, err := os.ReadFile(strings.TrimPrefix(w.url, "sqlite:") + "-wal")
		if err == nil {
			database = append(database, wal...)
		}
		store.add("the store", database)
		for place, text := range store.texts {
			n := 0
			for spelling := range secrets.spellings {
				if strings.Contains(text.String(), spelling) {
					n++
				}
			}
			if n == 0 {
				t.Errorf("nobody is found in %s", place)
			}
		}
	})
}

package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// Whatever happens, neither company's log, error or report, nor what the
// advertiser keeps on disk, shows an identifier, its hash, an account, a token or
// an element.
func TestNothingOfAPersonIsLogged(t *testing.T) {
	t.Parallel()
	facts := members(40)
	for i := range facts {
		facts[i].AccountID = fmt.Sprintf("planted-account-%d", i)
	}
	inBubble(t, agreed(t, "max_releases = 100"), facts, func(t *testing.T, w *world) {
		w.shop.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var secrets planted
		for i := range 60 {
			sum := sha256.Sum256([]byte(person(i)))
			secrets.add("an identifier", []byte(person(i)))
			secrets.add("a hash", sum[:])
		}
		for _, f := range facts {
			secrets.add("an account", []byte(f.AccountID))
		}
		var said strings.Builder
		codes := map[psi.AbortCode]bool{}
		for _, c := range mischief {
			w.shop.on = func(m moment, f *ampsiv1.Frame) {
				if m == sending && c.at == psi.FrameType(f.Type) && c.do != nil {
					c.do(f)
				}
				secrets.addFrame(f)
			}
			report, err := w.shop.match("spring", people(20, 60)...)
			fmt.Fprintf(&said, "%v %+v %#v %+v\n", err, err, err, report)
			if report != nil && report.Receipt != nil {
				said.Write(report.Receipt.Bytes())
			}
			if err != nil {
				codes[session.Code(err)] = true
			}
		}
		for _, code := range []psi.AbortCode{psi.AbortMalformed, psi.AbortAuth, psi.AbortProof, psi.AbortTable} {
			if !codes[code] {
				t.Errorf("no session failed with code %d", code)
			}
		}
		w.shop.on = nil
		// The platform's own troubles.
		synctest.Wait() // nothing is published any more
		must(t, os.RemoveAll(w.dir))
		must(t, os.WriteFile(w.dir, nil, 0o600))
		_, err := w.shop.match("spring", people(20, 60)...)
		wantCode(t, err, psi.AbortInternal)
		must(t, os.Remove(w.dir))

		journal, err := os.ReadFile(filepath.Join(w.shop.Dir, "journal.jsonl"))
		must(t, err)
		synctest.Wait() // the last session is over at this end too
		log := w.log.String()
		if strings.Count(log, "session failed") < len(mischief) || strings.Count(log, "session opened") < len(mischief) {
			t.Errorf("too little is logged to find anything in:\n%s", log)
		}
		for place, text := range map[string]string{"the log": log, "an error or report": said.String(), "the journal": string(journal)} {
			for spelling, what := range secrets.spellings {
				if strings.Contains(text, spelling) {
					t.Errorf("%s is in %s", what, place)
				}
			}
		}
	})
}

// mischief is what an advertiser does to a type of its frames.
var mischief = []struct {
	at psi.FrameType
	do func(*ampsiv1.Frame)
}{
	{psi.FrameHello, nil}, // nothing: the session succeeds
	{psi.FrameHello, func(f *ampsiv1.Frame) { f.Body = append(f.Body, 0xff) }},
	{psi.FrameOpenH, func(f *ampsiv1.Frame) { f.Sig[0] ^= 1 }},
	{psi.FrameEvaluated, func(f *ampsiv1.Frame) { copy(f.Body, f.Body[32:64]) }},
	{psi.FrameEvaluated, func(f *ampsiv1.Frame) { clear(f.Body[:32]) }},
	{psi.FrameTable, func(f *ampsiv1.Frame) { f.Body[len(f.Body)-1] ^= 1 }},
	{psi.FrameTable, func(f *ampsiv1.Frame) { copy(f.Body, f.Body[16:32]) }},
	{psi.FrameTable, func(f *ampsiv1.Frame) { f.Body = f.Body[1:] }},
	{psi.FrameReceipt, func(f *ampsiv1.Frame) { f.Body = nil }},
}

// planted is what must be nowhere, in every form in which Go programs print bytes.
type planted struct {
	mu        sync.Mutex
	spellings map[string]string // to what it is
}

func (p *planted) add(what string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spellings == nil {
		p.spellings = map[string]string{}
	}
	for _, spelling := range []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b),
		base64.RawURLEncoding.EncodeToString(b), fmt.Sprintf("%q", b), strings.Trim(fmt.Sprint(b), "[]"), fmt.Sprintf("%#v", b),
	} {
		p.spellings[spelling] = what
	}
}

// addFrame adds the elements and tokens of a frame; the first stand for the rest.
func (p *planted) addFrame(f *ampsiv1.Frame) {
	size, what := 32, "an element"
	switch psi.FrameType(f.Type) {
	case psi.FrameTable:
		size, what = session.TokenLen, "a token"
	case psi.FrameBlinded, psi.FrameEvaluated:
	default:
		return
	}
	for at := 0; at+size <= min(len(f.Body), 40*size); at += size {
		if part := f.Body[at : at+size]; slices.Max(part) > 0 { // zeros are mischief
			p.add(what, part)
		}
	}
}

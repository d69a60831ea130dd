package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// An honest platform passes, whatever the size, with every position drawn that
// there is, or a few of them.
func TestHonestPlatform(t *testing.T) {
	for _, records := range []int{0, 1, 1023, 1025, 20_000} {
		w := newWorld(t, records, cheat{})
		size := uint64(len(w.positions))
		samples := 20 * len(w.positions) // all positions, but for one in e²⁰
		if records > 2000 {
			samples = 4603
		}
		report := w.audit(t, w.challenge(samples, 1))
		must(t, report.Err())
		if report.Size != size || report.Samples != samples || report.Records+report.Pads != uint64(report.Drawn) || report.Erased != 0 || !report.Complete {
			t.Errorf("%d records: %+v", records, report)
		}
		if records < 2000 && (report.Records != uint64(records) || report.Pads != size-uint64(records)) {
			t.Errorf("%d records: %d records and %d pads are found", records, report.Records, report.Pads)
		}
		if records == 20_000 && report.Records < uint64(report.Drawn)*9/10 {
			t.Errorf("%d of %d are records", report.Records, report.Drawn)
		}
	}
}

// A session of the real machines: what a Querier sends and a Holder answers is
// what is audited, and the transcripts are theirs.
func TestRealSession(t *testing.T) {
	key, err := psi.DeriveKey(&[32]byte{5}, []byte("a key of the tests"))
	must(t, err)
	w := startWorld(t, 1025)
	openQ, openH := w.open(t, key.Public())
	params := psi.Params{SID: w.sid, ChunkElems: psi.ChunkElems, Window: 4, TokenLen: 16,
		Queries: uint64(len(w.positions)), Entries: 1024, Key: key.Public()}
	q, err := psi.NewQuerier(params, &w.seed)
	must(t, err)
	h, err := psi.NewHolder(params, key)
	must(t, err)
	kept, err := Create(w.dir, w.sid)
	must(t, err)
	for _, p := range w.positions {
		must(t, kept.Leaf(p.leaf, p.fact))
	}
	for _, chunk := range w.chunks() {
		b, err := q.Blind(queriesOf(chunk))
		must(t, err)
		must(t, kept.Blinded(b.Body))
		e, err := h.Evaluate(b)
		must(t, err)
		_, err = q.Finalize(e)
		must(t, err)
	}
	w.digests = q.Digests()
	w.sign(t, openQ, openH)
	must(t, kept.Seal(w.digests, w.receipt))
	must(t, kept.Close())
	must(t, w.audit(t, w.challenge(500, 1)).Err())
}

// A record that was erased can't be opened, and is excused if that was logged
// before the challenge, by the hash of its leaf.
func TestErasure(t *testing.T) {
	w := newWorld(t, 40, cheat{})
	c := w.challengeAt(t, 500, 7)
	delete(w.ledger, 8) // the record of position 7
	file := w.openings(t, c)
	if bytes.Contains(file, recordOf(8).Append(nil)) {
		t.Fatal("an erased record is shown")
	}
	s, err := Open(w.dir, w.sid)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	var closed [32]byte
	for row, err := range s.Rows() {
		must(t, err)
		if row.Fact == 8 {
			closed = row.Leaf
		}
	}
	for _, test := range []struct {
		name     string
		erasures map[[32]byte]time.Time
		erased   uint64
	}{
		{"logged before", map[[32]byte]time.Time{closed: c.Drawn.Add(-time.Second)}, 1},
		{"logged with the challenge", map[[32]byte]time.Time{closed: c.Drawn}, 0},
		{"logged after", map[[32]byte]time.Time{closed: c.Drawn.Add(time.Second)}, 0},
		{"another one logged", map[[32]byte]time.Time{w.positions[8].leaf: c.Drawn.Add(-time.Second)}, 0},
		{"none logged", nil, 0},
	} {
		auditor := w.auditor(c)
		auditor.Erasures = test.erasures
		report, err := Check(bytes.NewReader(file), auditor)
		must(t, err)
		if report.Erased != test.erased || len(report.Bad) != 1-int(test.erased) {
			t.Errorf("%s: %d erased, bad %v", test.name, report.Erased, report.Bad)
		}
		if test.erased == 0 && (report.Err() == nil || report.Bad[0] != Finding{7, ReasonNotErased}) {
			t.Errorf("%s: %v", test.name, report.Bad)
		}
	}
}

// A session that broke after SEAL is answered for like any other.
func TestBrokenSession(t *testing.T) {
	w := newWorld(t, 10, cheat{})
	c := w.challenge(100, 1)
	file := w.openings(t, c) // the platform has both RECEIPTs, the advertiser not
	w.receipt = w.receipt.UpToSeal()
	report, err := Check(bytes.NewReader(file), w.auditor(c))
	must(t, err)
	if report.Complete || report.Err() != nil {
		t.Errorf("%+v", report)
	}
}

// What is kept is private, as long as it says, and has nothing of a person.
func TestWhatIsKept(t *testing.T) {
	w := newWorld(t, 3, cheat{})
	dir := sessionDir(w.dir, w.sid)
	var all []byte
	for name, size := range map[string]int{leavesName: 40 * 1024, blindedName: 32 * 1024, digestsName: 2 * 66} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		stat, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if len(b) != size || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %v", name, len(b), stat.Mode())
		}
		all = append(all, b...)
	}
	if stat, err := os.Stat(dir); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", stat.Mode(), err)
	}
	for _, rec := range w.ledger {
		hash, salt := rec.Hash(), w.positions[rec.Fact-1].query.Salt
		for _, secret := range [][]byte{rec.Sum[:], rec.Account[:8], rec.Secret[:], hash[:], salt[:], w.seed[:], w.id[:]} {
			if bytes.Contains(all, secret) && len(secret) == 32 {
				t.Error("something of a record is kept")
			}
		}
	}
}

func TestWriter(t *testing.T) {
	dir := filepath.Join(filepath.Join(t.TempDir(), "a [name"), "evidence")
	create := func(sid [32]byte) *Writer {
		w, err := Create(dir, sid)
		must(t, err)
		must(t, w.Leaf([32]byte{1}, 1))
		must(t, w.Blinded(make([]byte, 32)))
		return w
	}
	entries := func() int {
		all, err := os.ReadDir(dir)
		must(t, err)
		return len(all)
	}
	w := create([32]byte{1})
	if _, err := Open(dir, [32]byte{1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a session that is not sealed opens: %v", err)
	}
	if _, err := Create(dir, [32]byte{1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("one session is kept twice: %v", err)
	}
	for _, digests := range [][]psi.FrameDigest{nil, make([]psi.FrameDigest, 1), make([]psi.FrameDigest, 4)} {
		if err := w.Seal(digests, new(receipt.Receipt)); err != errSeal {
			t.Errorf("%d digests for one chunk: %v", len(digests), err)
		}
	}
	must(t, w.Close())
	must(t, w.Close())
	if entries() != 0 {
		t.Error("a session that was not sealed stays")
	}
	w = create([32]byte{1})
	must(t, w.Leaf([32]byte{2}, 2))
	if err := w.Seal(make([]psi.FrameDigest, 2), new(receipt.Receipt)); err != errSeal {
		t.Errorf("two leaves and one element: %v", err)
	}
	must(t, w.Close())

	create([32]byte{3}) // and a crash
	w = create([32]byte{4})
	must(t, w.Seal([]psi.FrameDigest{{Type: psi.FrameBlinded, From: 1}, {Type: psi.FrameEvaluated, From: 2}}, new(receipt.Receipt)))
	must(t, w.Close())
	must(t, Sweep(dir))
	if entries() != 1 {
		t.Error("Sweep takes more or less than what a crash left")
	}
	s, err := Open(dir, [32]byte{4})
	must(t, err)
	if s.Size() != 1 {
		t.Errorf("size %d", s.Size())
	}
	must(t, s.Close())
	must(t, Remove(dir, [32]byte{4}))
	must(t, Remove(dir, [32]byte{4}))
	if entries() != 0 {
		t.Error("a session stays after it was removed")
	}
}

// Files that are not one session's are not opened, or nothing is made of them.
func TestDamage(t *testing.T) {
	for name, length := range map[string][2]int64{ // that Open sees, that it can't
		leavesName: {40*1024 - 1, 0}, blindedName: {32*1024 + 32, 0}, digestsName: {66, 0},
	} {
		for _, cut := range []bool{true, false} {
			w := newWorld(t, 3, cheat{})
			file := filepath.Join(sessionDir(w.dir, w.sid), name)
			b, err := os.ReadFile(file)
			must(t, err)
			if cut {
				must(t, os.Truncate(file, length[0]))
			} else {
				b[100] ^= 1
				must(t, os.WriteFile(file, b, 0o600))
			}
			s, err := Open(w.dir, w.sid)
			if cut {
				if !errors.Is(err, errDamaged) {
					t.Errorf("%s cut: %v", name, err)
				}
				continue
			}
			must(t, err)
			c := w.challenge(20_000, 1)
			var out bytes.Buffer
			if err := s.WriteOpenings(&out, c, w.source()); err == nil {
				if _, err := Check(&out, w.auditor(c)); err == nil {
					t.Errorf("%s changed: not noticed", name)
				}
			}
			must(t, s.Close())
		}
	}
}

// The platform's program opens what was committed to, to a challenge of this
// session, or says why not.
func TestWriteOpeningsRefuses(t *testing.T) {
	w, other := newWorld(t, 5, cheat{}), newWorld(t, 6, cheat{})
	s, err := Open(w.dir, w.sid)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	ledgerError := errors.New("disk on fire")
	for name, test := range map[string]struct {
		c      *Challenge
		change func(*Source)
		want   error
	}{
		"another session's receipt":  {nil, func(s *Source) { s.Receipt = other.receipt }, errOther},
		"another snapshot's id":      {nil, func(s *Source) { s.SnapshotID[0] ^= 1 }, errRecord},
		"another record":             {nil, func(s *Source) { s.Record = func(uint64) (*consent.Record, error) { return recordOf(9), nil } }, errRecord},
		"a ledger that fails":        {nil, func(s *Source) { s.Record = func(uint64) (*consent.Record, error) { return nil, ledgerError } }, ledgerError},
		"another session's question": {other.challenge(10, 1), nil, nil},
		"too many samples":           {w.challenge(MaxSamples+1, 1), nil, errChallenge},
		"no samples":                 {w.challenge(0, 1), nil, errChallenge},
	} {
		src, c := w.source(), test.c
		if c == nil {
			c = w.challengeAt(t, 20_000, 0)
		}
		if test.change != nil {
			test.change(src)
		}
		if err := s.WriteOpenings(new(bytes.Buffer), c, src); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChallenge(t *testing.T) {
	w := newWorld(t, 1, cheat{})
	sealed := started.Add(time.Minute)
	c, err := Draw(w.receipt, 4603, sealed)
	must(t, err)
	again, err := ParseChallenge(c.Bytes())
	must(t, err)
	if !bytes.Equal(again.Bytes(), c.Bytes()) || again.Samples != 4603 || !bytes.Equal(again.Session, w.sid[:]) {
		t.Error("a challenge reads otherwise than it was written")
	}
	if other, err := Draw(w.receipt, 4603, sealed); err != nil || bytes.Equal(other.Random, c.Random) {
		t.Error("two challenges are one")
	}
	if _, err := Draw(w.receipt, 1, sealed.Add(-clockSkew)); err != nil {
		t.Errorf("clocks may be a minute apart: %v", err)
	}
	if _, err := Draw(w.receipt, 1, sealed.Add(-clockSkew-time.Second)); !errors.Is(err, errEarly) {
		t.Errorf("before SEAL: %v", err)
	}
	unsealed := *w.receipt
	unsealed.Seal = nil
	if _, err := Draw(&unsealed, 1, sealed); err == nil {
		t.Error("a challenge is drawn without SEAL")
	}
	for _, samples := range []int{-1, 0, MaxSamples + 1} {
		if _, err := Draw(w.receipt, samples, sealed); err == nil {
			t.Errorf("%d samples are drawn", samples)
		}
	}
	file := string(c.Bytes())
	for name, bad := range map[string]string{
		"empty": "", "cut": file[:20], "twice": file + file, "another version": strings.Replace(file, "challenge-1", "challenge-2", 1),
		"another member": strings.Replace(file, "{", `{"positions": [1],`, 1),
		"many samples":   strings.Replace(file, "4603", "1000001", 1), "short": strings.Replace(file, `"session": "`, `"session": "AAAA", "session2": "`, 1),
	} {
		if _, err := ParseChallenge([]byte(bad)); err == nil {
			t.Errorf("%s: taken for a challenge", name)
		}
	}
}

// A report says what was drawn, in JSON too, and how likely it is to have found.
func TestReport(t *testing.T) {
	w := newWorld(t, 10, cheat{})
	report := w.audit(t, w.challenge(459, 1))
	for _, d := range report.Detection {
		if d.Probability != report.Detects(d.Fraction) {
			t.Error("two probabilities for one fraction")
		}
	}
	// 1 − 0.99⁴⁵⁹ and 1 − 0.999⁴⁶⁰³ are the first above 0.99.
	for f, samples := range map[float64]int{0.01: 459, 0.001: 4603, 0.0001: 46_050} {
		r, less := &Report{Samples: samples}, &Report{Samples: samples - 1}
		if r.Detects(f) < 0.99 || less.Detects(f) >= 0.99 && f > 0.0001 {
			t.Errorf("%v: %v with %d samples", f, r.Detects(f), samples)
		}
	}
	if r := (&Report{Samples: 3}); r.Detects(0) != 0 || r.Detects(1) != 1 {
		t.Error("none bad is found, or all bad is not")
	}
	b, err := json.Marshal(report)
	must(t, err)
	for _, want := range []string{`"bad":[]`, `"samples":459`, `"fraction":0.01`, `"complete":true`} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the report lacks %s: %s", want, b)
		}
	}
}

// A record's age counts at the moment of the snapshot, which lies within what both
// companies' clocks allow: no honest platform is called bad for it.
func TestMomentOfTheSnapshot(t *testing.T) {
	rule := consent.Rule{Classes: []identifier.Class{identifier.EmailUID2}, MaxAge: 24 * time.Hour}
	j := &judge{asked: &receipt.Questions{Opened: started}, rule: rule}
	for _, test := range []struct {
		collected time.Time
		want      error
	}{
		{started.Add(time.Second), nil}, // OPEN_Q tells whole seconds
		{started.Add(time.Second + 1), consent.RefusedFuture},
		{started.Add(-24 * time.Hour), nil},
		{started.Add(-24*time.Hour - cutBefore), nil},
		{started.Add(-24*time.Hour - cutBefore - 1), consent.RefusedAge},
	} {
		rec := recordOf(1)
		rec.CollectedAt = test.collected
		if _, err := j.admit(rec); err != test.want {
			t.Errorf("collected %v from OPEN_Q: %v", test.collected.Sub(started), err)
		}
	}
}

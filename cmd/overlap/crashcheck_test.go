package main

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/merkle"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/store"
)

// siteCheck is an observer who looks at all that both companies have, while no
// session runs, and remembers it. Every now says
//
//   - of the logs: they verify, they extend each checkpoint that was ever seen, and
//     have what the store has for them, entry by entry;
//   - of the store: no session is open; each has all of its parts or none, and
//     the events that go with them, once; a charge or a count that was there is there;
//   - of the files: what was sealed opens and has the root; nothing else is left;
//   - of the advertiser: the platform has on record whatever it holds a signature of.
type siteCheck struct {
	t        *testing.T
	s        *site
	id       identity.ID
	key      ed25519.PublicKey
	kept     map[string][][]byte // checkpoints, by log
	sessions map[[32]byte]seen
	spent    uint64 // releases
	asked    uint64 // questions of the advertiser
}

// platformAsks reports whether the platform is the Querier.
func platformAsks(s store.Session) bool { return s.Mode == "P_LEARNS" || s.Mode == "MUTUAL_P" }

// seen is what a session was when it was last looked at: it has ended, and so it
// stays.
type seen struct {
	mode    string
	outcome string
	receipt []byte
	release []byte
	charged bool
	result  bool
	state   string
}

func newSiteCheck(s *site) *siteCheck {
	s.t.Helper()
	i, err := identity.Load(s.path("platform"))
	must(s.t, err)
	return &siteCheck{t: s.t, s: s, id: i.ID(), key: i.Public(), kept: map[string][][]byte{}, sessions: map[[32]byte]seen{}}
}

// now looks at everything, and returns how far the latest session had come that
// was not on record at the last time.
func (c *siteCheck) now() (state string) {
	c.t.Helper()
	db, err := store.Open(c.t.Context(), c.s.url)
	must(c.t, err)
	defer db.Close()
	public := c.log(db, "public", store.PublicLog, logbook.PublicName, audit.PublicEvents)
	c.log(db, "access", store.AccessLog, logbook.AccessName, audit.AccessEvents)
	told := c.tell(public)
	audiences, err := db.Audiences(c.t.Context())
	must(c.t, err)
	state = "no session"
	onRecord := 0
	for session, err := range db.Sessions(c.t.Context()) {
		must(c.t, err)
		onRecord++
		now := c.session(db, session, told[session.SID], audiences)
		before, known := c.sessions[session.SID]
		if known && !now.continues(before) {
			c.t.Errorf("session %x was %+v, and is %+v", session.SID, before, now)
		}
		if !known {
			state = now.mode + " " + now.state + ", " + now.outcome
			c.audience(db, session, now)
		}
		c.sessions[session.SID] = now
	}
	if onRecord != len(c.sessions) || len(told) != onRecord {
		c.t.Errorf("%d sessions are on record, %d in the log, and %d were", onRecord, len(told), len(c.sessions))
	}
	c.budgets(db, told)
	c.unfinished()
	c.files()
	c.receipts(db)
	return state
}

// log verifies a log, compares it with the store, and keeps its checkpoint.
func (c *siteCheck) log(db *store.DB, dir string, of store.Log, name func(identity.ID) string, content audit.Content) (events []audit.Body) {
	c.t.Helper()
	log := os.DirFS(c.s.path("platform/work/logs/" + dir))
	verifier, err := audit.NewVerifier(name(c.id), c.key)
	must(c.t, err)
	if _, err := audit.Verify(log, audit.Expect{Log: verifier, Kept: c.kept[dir], Content: content}); err != nil {
		c.t.Errorf("the %s log: %v", dir, err)
	}
	if key, err := logbook.Key(log, c.id); err != nil || !key.Equal(c.key) {
		c.t.Errorf("the %s log's key: %v", dir, err)
	}
	published := c.entries(log, verifier, dir)
	for e, err := range db.Entries(c.t.Context(), of, 0) {
		must(c.t, err)
		if e.Index >= uint64(len(published)) || !bytes.Equal(published[e.Index], e.Body) {
			c.t.Fatalf("entry %d of the %s log is in the store only", e.Index, dir)
		}
		event, err := audit.ParseEvent(e.Body)
		must(c.t, err)
		events = append(events, event.Body)
	}
	if len(events) != len(published) {
		c.t.Errorf("%d entries of the %s log are not in the store", len(published)-len(events), dir)
	}
	return events
}

func (c *siteCheck) entries(log fs.FS, verifier note.Verifier, dir string) (list [][]byte) {
	c.t.Helper()
	tree, err := audit.Read(log, verifier, audit.Quorum{})
	must(c.t, err)
	c.kept[dir] = append(c.kept[dir], tree.Checkpoint().Bytes())
	for e, err := range tree.Entries(0) {
		must(c.t, err)
		list = append(list, bytes.Clone(e))
	}
	return list
}

// events is what the log tells of one session.
type events struct {
	kinds  map[audit.Kind]int
	record audit.Hash
	ended  string
	root   audit.Hash
	asked  uint64
}

func (c *siteCheck) tell(public []audit.Body) map[[32]byte]*events {
	told := map[[32]byte]*events{}
	of := func(sid audit.Hash, kind audit.Kind) *events {
		if told[sid] == nil {
			told[sid] = &events{kinds: map[audit.Kind]int{}}
		}
		if told[sid].kinds[audit.Session{}.Kind()] > 0 {
			c.t.Errorf("session %x goes on in the log after its end", sid)
		}
		told[sid].kinds[kind]++
		return told[sid]
	}
	for _, body := range public {
		switch b := body.(type) {
		case audit.Snapshot:
			e := of(b.SID, b.Kind())
			e.root, e.asked = b.ConsentRoot, b.ConsentSize
		case audit.Release:
			of(b.SID, b.Kind())
		case audit.Matched:
			of(b.SID, b.Kind())
		case audit.Session:
			e := of(b.SID, b.Kind())
			e.record, e.ended = b.Record, b.Outcome
		}
	}
	return told
}

// session checks that a session is whole, whenever it ended.
func (c *siteCheck) session(db *store.DB, s store.Session, told *events, audiences []store.Audience) (now seen) {
	c.t.Helper()
	now = seen{outcome: s.Outcome, receipt: s.Receipt, mode: s.Mode}
	bad := func(what string) { c.t.Errorf("session %x, %q: %s", s.SID, s.Outcome, what) }
	if told == nil {
		bad("it is not in the log")
		return now
	}
	if s.Ended.IsZero() || s.Outcome == "open" {
		bad("it is open, and its process is dead")
	}
	for kind, n := range told.kinds {
		if n > 1 {
			bad("more than one event: " + string(kind))
		}
	}
	asks, releases := platformAsks(s), s.Mode == "P_LEARNS"
	if told.kinds["snapshot"] != 1 || told.kinds["session"] != 1 || told.root != audit.Hash(s.Root) || asks && told.asked != s.QHat {
		bad("its snapshot or its end is not in the log")
	}
	r, err := receipt.Parse(s.Receipt)
	must(c.t, err)
	if r.RecordHash() != told.record || (s.Outcome == "complete") != (told.ended == "complete") {
		bad("the log tells of another end")
	}
	if eligible, err := db.Manifest(c.t.Context(), s.SID, store.Exposed); err != nil || eligible.Len() != s.Leaves || s.Leaves != crashAccounts {
		bad("its manifest is not whole")
	}
	if _, err := db.Secrets(c.t.Context(), s.SID); err != nil {
		bad("its secrets are gone")
	}
	now.charged = told.kinds["release"] > 0
	now.result = c.result(db, s, told, audiences, bad)
	now.release, err = db.Release(c.t.Context(), s.SID)
	drawn := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.t.Error(err)
	}
	sealed := c.evidence(s, r)
	for _, step := range []struct {
		done bool
		name string
	}{{true, "opened"}, {sealed, "sealed"}, {now.charged, "charged"}, {now.result, "matched"}, {drawn, "drawn"}, {s.Outcome == "complete", "complete"}} {
		if step.done {
			now.state = step.name
		}
	}
	if releases && (now.result && !now.charged || drawn && !now.result || now.charged && !sealed) || !releases && (now.charged || drawn) || asks && now.result && !sealed {
		bad("it has a later step without one before it")
	}
	if _, err := r.Verify(); (err == nil) != (s.Outcome == "complete") {
		bad("its receipt does not say how it ended")
	}
	return now
}

// result checks that the matched manifest, its event and its audience are there
// together, or not at all. No audience's name comes twice, so that each stays.
func (c *siteCheck) result(db *store.DB, s store.Session, told *events, audiences []store.Audience, bad func(string)) bool {
	c.t.Helper()
	matched, err := db.Manifest(c.t.Context(), s.SID, store.Matched)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.t.Error(err)
	}
	i := slices.IndexFunc(audiences, func(a store.Audience) bool { return a.Session == s.SID })
	there := err == nil
	if (i >= 0) != there || (told.kinds["matched"] == 1) != there {
		bad("a result without its record, or a record without its result")
	}
	if there && (matched.Len() != crashAccounts-crashFirst || s.Matched != matched.Len() || i >= 0 && (audiences[i].Accounts != s.Matched || audiences[i].Name != s.Audience)) {
		bad("its result is not whole")
	}
	return there
}

// audience compares the accounts with those in both files.
func (c *siteCheck) audience(db *store.DB, s store.Session, now seen) {
	c.t.Helper()
	if !now.result {
		return
	}
	n := 0
	for account, err := range db.AudienceAccounts(c.t.Context(), s.Peer, s.Audience) {
		must(c.t, err)
		n++
		if c.number(account) < crashFirst {
			c.t.Error("an account is in an audience and not on the list")
		}
	}
	if n != crashAccounts-crashFirst {
		c.t.Errorf("an audience has %d accounts", n)
	}
}

func (c *siteCheck) number(account string) (n int) {
	for _, digit := range account[1:] {
		n = 10*n + int(digit-'0')
	}
	return n
}

// continues reports whether a session that had ended is what it was.
func (s seen) continues(before seen) bool {
	return s.outcome == before.outcome && bytes.Equal(s.receipt, before.receipt) && s.charged == before.charged &&
		s.result == before.result && (s.release == nil) == (before.release == nil) && bytes.Equal(s.release, before.release)
}

// budgets checks that the ledger has all that was charged: one for each session
// that says so, and none taken back.
func (c *siteCheck) budgets(db *store.DB, told map[[32]byte]*events) {
	c.t.Helper()
	spent, asked, events := uint64(0), uint64(0), uint64(0)
	for b, err := range db.Budgets(c.t.Context()) {
		must(c.t, err)
		if b.Kind == store.Releases {
			spent += b.Spent
		} else {
			asked += b.Spent
		}
	}
	for _, e := range told {
		events += uint64(e.kinds["release"])
	}
	if spent != events || spent < c.spent {
		c.t.Errorf("%d releases are charged, %d are in the log, and %d were charged before", spent, events, c.spent)
	}
	if asked < c.asked {
		c.t.Errorf("%d questions are charged, and %d were before", asked, c.asked)
	}
	c.spent, c.asked = spent, asked
}

// evidence checks what was kept of a session: all of it once SEAL may have been
// sent, and otherwise nothing.
func (c *siteCheck) evidence(s store.Session, r *receipt.Receipt) (sealed bool) {
	c.t.Helper()
	dir := c.s.path("platform/work/evidence")
	kept, err := evidence.Open(dir, s.SID)
	if errors.Is(err, fs.ErrNotExist) {
		if len(r.Seal) > 0 && platformAsks(s) {
			c.t.Errorf("session %x was sealed, and its evidence is gone", s.SID)
		}
		return false
	}
	if err != nil {
		c.t.Errorf("session %x: %v", s.SID, err)
		return false
	}
	defer kept.Close()
	if _, known := c.sessions[s.SID]; known {
		return true // the tree has been made once
	}
	var tree merkle.Range
	for row, err := range kept.Rows() {
		must(c.t, err)
		tree.AppendLeaves(row.Leaf[:], len(row.Leaf))
	}
	if kept.Size() != s.QHat || [32]byte(tree.Root()) != s.Root {
		c.t.Errorf("session %x: its evidence is of another snapshot", s.SID)
	}
	upTo, err := evidence.Receipt(dir, s.SID)
	must(c.t, err)
	if q, err := upTo.Questions(); err != nil || q.SID != s.SID || q.ConsentRoot != s.Root || !bytes.Equal(upTo.Bytes(), r.UpToSeal().Bytes()) {
		c.t.Errorf("session %x: its evidence is not what both companies signed (%v)", s.SID, err)
	}
	return true
}

// below opens the database under the store.
func (s *site) below() *sql.DB {
	s.t.Helper()
	driver, name := "pgx", s.url
	if path, ok := strings.CutPrefix(s.url, "sqlite:"); ok {
		driver, name = "sqlite3", "file:"+path
	}
	db, err := sql.Open(driver, name)
	must(s.t, err)
	return db
}

// unfinished checks that there is no audience, nor a count, without its session's
// record. The store has no way to show that, so this looks below.
func (c *siteCheck) unfinished() {
	c.t.Helper()
	db := c.s.below()
	defer db.Close()
	var audiences, strays int
	must(c.t, db.QueryRow(`SELECT COUNT(*) FROM audiences a JOIN sessions s ON s.id = a.session WHERE s.matched IS NULL`).Scan(&audiences))
	must(c.t, db.QueryRow(`SELECT COUNT(*) FROM releases WHERE sid NOT IN (SELECT sid FROM charges) OR sid NOT IN (SELECT sid FROM sessions)`).Scan(&strays))
	if audiences+strays > 0 {
		c.t.Errorf("%d audiences of no result on record, and %d counts of no session", audiences, strays)
	}
}

// files checks that the platform's directory has what it should, and no more.
func (c *siteCheck) files() {
	c.t.Helper()
	work := c.s.path("platform/work")
	must(c.t, filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, work+"/")
		switch dir, rest, _ := strings.Cut(name, "/"); dir {
		case "logs":
			if strings.Contains(rest, "policies/.") {
				c.t.Errorf("a piece of a file is left: %s", name)
			}
		case "evidence":
			sid, err := hex.DecodeString(filepath.Dir(rest))
			if _, known := c.sessions[[32]byte(append(sid, make([]byte, 32)...))]; err != nil || len(sid) != 32 || !known {
				c.t.Errorf("evidence of no session, or a piece of it, is left: %s", name)
			}
		case "epochs":
			if rest != "lock" {
				c.t.Errorf("a piece of a published table is left: %s", name)
			}
		case "serving":
		default:
			c.t.Errorf("a file of a session is left: %s", name)
		}
		return nil
	}))
}

// receipts checks that the platform has on record whatever the advertiser holds.
func (c *siteCheck) receipts(db *store.DB) {
	c.t.Helper()
	files, err := filepath.Glob(c.s.path("*.receipt"))
	must(c.t, err)
	for _, name := range files {
		file, err := os.ReadFile(name)
		must(c.t, err)
		r, err := receipt.Parse(file)
		if len(file) == 0 {
			continue // the advertiser died before it had written it
		}
		must(c.t, err)
		if len(r.Seal) > 0 {
			c.receipt(db, r)
		}
	}
}

func (c *siteCheck) receipt(db *store.DB, r *receipt.Receipt) {
	c.t.Helper()
	sid := psi.SessionID(r.OpenQ, r.OpenH)
	s, err := db.Session(c.t.Context(), sid)
	if err != nil {
		c.t.Errorf("the advertiser has a receipt of a session that the platform does not know: %v", err)
		return
	}
	own, err := receipt.Parse(s.Receipt)
	must(c.t, err)
	// Where the advertiser asked, SEAL is its own; a platform that dies then has not
	// kept it.
	if platformAsks(s) && !bytes.Equal(own.UpToSeal().Bytes(), r.UpToSeal().Bytes()) || !bytes.Equal(own.OpenQ, r.OpenQ) || !bytes.Equal(own.OpenH, r.OpenH) {
		c.t.Errorf("session %x: the two companies hold different receipts", sid)
	}
	if count, err := db.Release(c.t.Context(), sid); len(r.Release) > 0 && (err != nil || !bytes.Equal(count, r.Release)) {
		c.t.Errorf("session %x: the advertiser has a count that the platform has not on record", sid)
	}
	if r.Complete() {
		if _, err := r.Verify(); err != nil {
			c.t.Errorf("session %x: %v", sid, err)
		}
	}
}

// advertiserIsClean checks that what the advertiser's killed processes left is gone
// once another one has run.
func (c *siteCheck) advertiserIsClean() {
	c.t.Helper()
	if left := names(c.s.path("advertiser/state/spill")); len(left) > 0 {
		c.t.Errorf("the advertiser's table is left: %d files", len(left))
	}
	for _, name := range names(c.s.dir) {
		if strings.HasPrefix(name, matchesBegun) {
			c.t.Errorf("a piece of the advertiser's matches is left: %s", name)
		}
	}
}

package consent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

// noon is the moment that the tests ask about.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// granted returns a record that openRule admits at noon.
func granted() Record {
	return Record{
		Account:      Handle{31: 7},
		Class:        identifier.EmailUID2,
		Sum:          sha256.Sum256([]byte("alice@example.com")),
		Purpose:      AdsMatching,
		Status:       Granted,
		Basis:        BasisConsent,
		Jurisdiction: "FR",
		CollectedAt:  noon.Add(-time.Hour),
		Secret:       [32]byte{1},
	}
}

func TestNamesRoundTrip(t *testing.T) {
	for _, p := range Purposes {
		if got, err := ParsePurpose(p.String()); err != nil || got != p {
			t.Errorf("ParsePurpose(%q) = %v, %v", p.String(), got, err)
		}
	}
	for _, s := range Statuses {
		if got, err := ParseStatus(s.String()); err != nil || got != s {
			t.Errorf("ParseStatus(%q) = %v, %v", s.String(), got, err)
		}
	}
	for name, want := range map[string]Status{"given": Granted, "refused": Denied} {
		if got, err := ParseStatus(name); err != nil || got != want {
			t.Errorf("ParseStatus(%q) = %v, %v", name, got, err)
		}
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	for _, name := range []string{"", " ", "ads", "ADS_MATCHING", "ads_matching ", "account_security", "Purpose(6)", "unknown"} {
		if p, err := ParsePurpose(name); err == nil || p != 0 {
			t.Errorf("ParsePurpose(%q) = %v, %v", name, p, err)
		}
	}
	for _, name := range []string{"", " ", "GRANTED", "yes", "true", "1", "granted ", "Status(1)"} {
		if s, err := ParseStatus(name); err == nil || s != 0 {
			t.Errorf("ParseStatus(%q) = %v, %v", name, s, err)
		}
	}
}

func TestListsAreClosed(t *testing.T) {
	var purposes, statuses int
	for v := range 256 {
		if Purpose(v).Valid() {
			purposes++
		} else if got := Purpose(v).String(); got != fmt.Sprintf("Purpose(%d)", v) {
			t.Errorf("Purpose(%d) prints %q", v, got)
		}
		if Status(v).Valid() {
			statuses++
		} else if got := Status(v).String(); got != fmt.Sprintf("Status(%d)", v) {
			t.Errorf("Status(%d) prints %q", v, got)
		}
	}
	if purposes != len(Purposes) || statuses != len(Statuses) {
		t.Errorf("%d purposes and %d statuses are valid, want %d and %d", purposes, statuses, len(Purposes), len(Statuses))
	}
}

// The layout of Hash's comment, written out by hand.
func TestRecordHashLayout(t *testing.T) {
	rec := granted()
	rec.Jurisdiction = "US-CA"
	rec.CollectedAt = time.Unix(0x0102030405, 0x06070809).In(time.FixedZone("", 3600))
	rec.Notice, rec.Surface, rec.Source = "ads@3", "app", "web-crm"
	var b bytes.Buffer
	b.WriteString("AMPSI-V01-record")
	b.Write(rec.Account[:])
	b.WriteByte(0x01)
	b.Write(rec.Sum[:])
	b.Write([]byte{6, 1, 1, 0})
	b.Write([]byte{0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	b.WriteString("\x00\x00\x00\x05US-CA")
	b.WriteString("\x00\x00\x00\x05ads@3")
	b.WriteString("\x00\x00\x00\x03app")
	b.WriteString("\x00\x00\x00\x00")
	b.WriteString("\x00\x00\x00\x07web-crm")
	if got, want := rec.Hash(), sha256.Sum256(b.Bytes()); got != want {
		t.Fatalf("hash %x, want %x", got, want)
	}
}

// The value itself, which snapshots already written depend on.
func TestRecordHashKnownAnswer(t *testing.T) {
	rec := granted()
	hash := rec.Hash()
	const want = "8bd93019dd1c391590cc7ea8f775a576b9f6c206b5db70f610e8c0e3a0fd4d5a"
	if got := hex.EncodeToString(hash[:]); got != want {
		t.Fatalf("hash %s, want %s", got, want)
	}
}

func TestRecordHashCoversEveryFieldButSecret(t *testing.T) {
	base := granted()
	changes := map[string]func(*Record){
		"account":      func(r *Record) { r.Account[0] ^= 1 },
		"class":        func(r *Record) { r.Class = identifier.EmailPlain },
		"sum":          func(r *Record) { r.Sum[31] ^= 1 },
		"purpose":      func(r *Record) { r.Purpose = AccountRecovery },
		"status":       func(r *Record) { r.Status = Withdrawn },
		"jurisdiction": func(r *Record) { r.Jurisdiction = "FR-75" },
		"unknown":      func(r *Record) { r.Jurisdiction = "" },
		"second":       func(r *Record) { r.CollectedAt = r.CollectedAt.Add(time.Second) },
		"nanosecond":   func(r *Record) { r.CollectedAt = r.CollectedAt.Add(1) },
		"before 1970":  func(r *Record) { r.CollectedAt = time.Unix(-1, 0) },
		"no time":      func(r *Record) { r.CollectedAt = time.Time{} },
		"switch":       func(r *Record) { r.SwitchedOff = true },
		"basis":        func(r *Record) { r.Basis = BasisNoticeOptOut },
		"notice":       func(r *Record) { r.Notice = "FR" },
		"surface":      func(r *Record) { r.Surface = "FR" },
		"reference":    func(r *Record) { r.Reference = "FR" },
		"source":       func(r *Record) { r.Source = "FR" },
	}
	seen := map[[32]byte]string{base.Hash(): "nothing"}
	for name, change := range changes {
		rec := base
		change(&rec)
		if other, ok := seen[rec.Hash()]; ok {
			t.Errorf("changing %s gives the hash of changing %s", name, other)
		}
		seen[rec.Hash()] = name
	}
	rec := base
	rec.Secret = [32]byte{9}
	rec.Fact = 17
	rec.CollectedAt = rec.CollectedAt.In(time.FixedZone("", 7200))
	if rec.Hash() != base.Hash() {
		t.Error("the secret or the time zone changes the hash")
	}
}

func TestNothingPrintsAValue(t *testing.T) {
	rec := granted()
	eligible, err := openRule.Admit(&rec, noon)
	if err != nil {
		t.Fatal(err)
	}
	leaf := Leaf{line: newLine(&[32]byte{1}, &rec)}
	for name, v := range map[string]any{
		"Handle": rec.Account, "Record": rec, "*Record": &rec, "Eligible": eligible, "*Eligible": &eligible,
		"Leaf": leaf, "slice": []Record{rec}[0], "Snapshot": Snapshot{id: testID}, "*Snapshot": &Snapshot{id: testID},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			if got := fmt.Sprintf(verb, v); got != redacted {
				t.Errorf("%s prints as %s with %s", name, got, verb)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		if !strings.Contains(log.String(), "v=REDACTED") {
			t.Errorf("%s is logged as %s", name, log.String())
		}
	}
}

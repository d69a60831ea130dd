package audience

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// suppressing returns the row codes of a file of customers, in its order, when a
// list is suppressed.
func suppressing(t *testing.T, customers, list string, o Options) string {
	t.Helper()
	o.Suppressed = []string{write(t, list)}
	got := run(t, []byte(customers), o)
	if got.err != nil {
		t.Fatal(got.err)
	}
	var codes []string
	for line := range strings.Lines(got.rows) {
		_, code, _ := strings.Cut(strings.TrimSpace(line), " ")
		codes = append(codes, code)
	}
	return strings.Join(codes, " ")
}

// An address that is suppressed is found under every profile that the customers'
// file may have it in.
func TestSuppressedProfiles(t *testing.T) {
	o := testOptions()
	o.HashedEmailClass, o.PhoneClass, o.HashedPhoneClass = identifier.EmailPlain, identifier.PhoneE164, identifier.PhoneDigits
	o.Rule.Classes = []identifier.Class{identifier.EmailUID2, identifier.EmailPlain, identifier.PhoneE164, identifier.PhoneDigits}
	sum := func(c identifier.Class, raw string) string {
		id, err := c.Normalize(raw, identifier.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", id.Sum())
	}
	const header = "email,email_sha256,phone,phone_sha256\n"
	for _, row := range []string{
		"ann.lee@gmail.com,,,", "annlee+shop@gmail.com,,,", "," + sum(identifier.EmailPlain, "ann.lee@gmail.com") + ",,",
		",,+12345678901,", ",,," + sum(identifier.PhoneDigits, "+12345678901"),
	} {
		list := "email,phone\nAnn.Lee@Gmail.com,+1 (234) 567-8901\n"
		if got := suppressing(t, header+row+"\n", list, o); got != "SUPPRESSED" {
			t.Errorf("%s: %s", row, got)
		}
		if got := suppressing(t, header+row+"\n", "email\nann.li@gmail.com\n", o); got != "OK" {
			t.Errorf("%s: %s for somebody else", row, got)
		}
	}
}

// It comes before what the row's consent says, and before the list's statement.
func TestSuppressedFirst(t *testing.T) {
	for _, statement := range []Statement{Unset, Granted} {
		o := testOptions()
		o.ListConsent = statement
		const customers = "email,consent,country\na@example.com,no,FR\na@example.com,yes,FR\na@example.com,,\nb@example.com,no,FR\n"
		if got := suppressing(t, customers, "a@example.com\n", o); got != "SUPPRESSED SUPPRESSED SUPPRESSED CONSENT_DENIED" {
			t.Error(got)
		}
	}
}

func TestSuppressedErrors(t *testing.T) {
	o := testOptions()
	o.Suppressed = []string{filepath.Join(t.TempDir(), "nowhere")}
	if _, err := Open(write(t, "email\na@example.com\n"), o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	o.Suppressed = []string{write(t, "a@example.com,1\nb@example.com,2\n")}
	if _, err := Open(write(t, "email\na@example.com\n"), o); !errors.Is(err, errSuppression) {
		t.Errorf("%v", err)
	}
	o.Suppressed = []string{write(t, "email\n\"a@example.com\n")}
	if _, err := Open(write(t, "email\na@example.com\n"), o); err == nil {
		t.Error("a quote that is never closed")
	}
	// What can't be asked of any string.
	o = testOptions()
	o.Terms = signal.Terms{Vendor: 1 << 16}
	if _, err := Open(write(t, "email\na@example.com\n"), o); err == nil {
		t.Error("no such vendor")
	}
}

// The lists' files can be anything, and what is readable in them is suppressed.
func FuzzSuppressed(f *testing.F) {
	f.Add("email\na@example.com\n")
	f.Add("a@example.com\n+12345678901\n")
	f.Add("x;y\n")
	f.Add("hash\nb4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514\r\n,,\n")
	f.Fuzz(func(t *testing.T, list string) {
		o := testOptions()
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		in, err := sheet.New(strings.NewReader(list), 0, sheet.Options{})
		if err != nil {
			return
		}
		defer in.Close()
		var s suppressed
		if err := s.readRows(in, &o); err != nil {
			return
		}
		if e := &s.unread; e.Rows > s.counts.Rows || uint64(len(e.Lines)) > e.Rows {
			t.Errorf("%+v of %+v", e, s.counts)
		}
	})
}

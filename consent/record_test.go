package consent

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// full returns a record of which no field is empty.
func full() Record {
	r := granted()
	r.Notice, r.Surface, r.Reference, r.Source = "ads@3", "checkout", "cr-17", "web-crm"
	return r
}

// shown is what the encoding says of a record.
func shown(r Record) Record {
	r.Fact, r.Secret, r.CollectedAt = 0, [32]byte{}, r.CollectedAt.UTC()
	return r
}

func TestParseRecordReadsWhatAppendMade(t *testing.T) {
	long := full()
	long.Source = strings.Repeat("s", MaxText)
	off := full()
	off.SwitchedOff = true
	early := full()
	early.CollectedAt = time.Unix(-5, 999_999_999)
	none := granted()
	none.CollectedAt, none.Jurisdiction = time.Time{}, ""
	for _, r := range []Record{full(), granted(), long, off, early, none} {
		b := r.Append(nil)
		got, err := ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if *got != shown(r) {
			t.Error("another record comes back")
		}
		if got.Hash() != r.Hash() {
			t.Error("its hash is another")
		}
	}
}

func TestParseRecordRefuses(t *testing.T) {
	r := full()
	b := r.Append(nil)
	for n := range b {
		if _, err := ParseRecord(b[:n]); err == nil {
			t.Fatalf("cut to %d bytes, it is read", n)
		}
	}
	at := func(i int, v byte) []byte { c := bytes.Clone(b); c[i] = v; return c }
	fixed := len(recordDST) + 32 + 1 + 32
	for name, bad := range map[string][]byte{
		"a byte more":                 append(bytes.Clone(b), 0),
		"another kind of encoding":    at(0, 'B'),
		"a switch neither on nor off": at(fixed+3, 2),
		"a thousand million nanoseconds": func() []byte {
			c := bytes.Clone(b)
			copy(c[fixed+4+8:], []byte{0x3b, 0x9a, 0xca, 0x00})
			return c
		}(),
		"a text longer than the rest": at(recordLen+3, 0xff),
		"a text of 4 GiB":             at(recordLen, 0xff),
	} {
		if _, err := ParseRecord(bad); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	tooLong := full()
	tooLong.Notice = strings.Repeat("n", MaxText+1)
	if _, err := ParseRecord(tooLong.Append(nil)); err == nil {
		t.Error("a text that is too long is read")
	}
}

// What ParseRecord accepts has one encoding: the bytes it was given.
func FuzzParseRecord(f *testing.F) {
	r := full()
	f.Add(r.Append(nil))
	f.Add([]byte(recordDST))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseRecord(b)
		if err == nil && !bytes.Equal(got.Append(nil), b) {
			t.Error("two encodings of one record")
		}
	})
}

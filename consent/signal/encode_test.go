package signal

import (
	"strings"
	"time"
)

// writer writes what bits reads.
type writer struct {
	chars strings.Builder
	rest  uint64
	n     int
}

func (w *writer) uint(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		w.rest = w.rest<<1 | v>>i&1
		if w.n++; w.n == 6 {
			w.chars.WriteByte(alphabet[w.rest])
			w.rest, w.n = 0, 0
		}
	}
}

func (w *writer) int(v, n int) { w.uint(uint64(v), n) }

func (w *writer) bool(v bool) {
	if v {
		w.uint(1, 1)
	} else {
		w.uint(0, 1)
	}
}

// string returns what was written, padded with zeros.
func (w *writer) string() string {
	if w.n > 0 {
		w.uint(0, 6-w.n)
	}
	return w.chars.String()
}

// time is exact for what a string can say: decisecond's inverse.
func (w *writer) time(t time.Time) { w.uint(uint64(t.UnixMilli()/100), 36) }

// letters writes '?' as a number that is no letter.
func (w *writer) letters(s string) {
	for i := range 2 {
		n := 63
		if s[i] != '?' {
			n = int(s[i] - 'A')
		}
		w.int(n, 6)
	}
}

func (w *writer) purposes(p Purposes, n int) {
	for i := range n {
		w.bool(p>>i&1 == 1)
	}
}

func (w *writer) vendors(v Vendors, field bool) {
	if field {
		w.field(v)
		return
	}
	greatest := 0
	for _, r := range v {
		greatest = max(greatest, int(r.Last))
	}
	w.int(greatest, 16)
	w.bool(true)
	w.ranges(v)
}

// field writes a set of vendors bit by bit.
func (w *writer) field(v Vendors) {
	greatest := 0
	for _, r := range v {
		greatest = max(greatest, int(r.Last))
	}
	w.int(greatest, 16)
	w.bool(false)
	for id := 1; id <= greatest; id++ {
		w.bool(v.Has(id))
	}
}

// ranges writes at most as many as the count can say.
func (w *writer) ranges(v Vendors) {
	w.int(len(v), 12)
	for _, r := range v {
		w.bool(r.First != r.Last)
		w.int(int(r.First), 16)
		if r.First != r.Last {
			w.int(int(r.Last), 16)
		}
	}
}

// encode writes a TC string, its sets of vendors bit by bit or as ranges. A set
// of more ranges than one may have is always written bit by bit.
func (t *TCF) encode(field bool) string {
	var w writer
	w.int(tcfVersion, 6)
	w.time(t.Created)
	w.time(t.LastUpdated)
	w.int(t.CmpID, 12)
	w.int(t.CmpVersion, 12)
	w.int(t.ConsentScreen, 6)
	w.letters(t.ConsentLanguage)
	w.int(t.VendorListVersion, 12)
	w.int(t.PolicyVersion, 6)
	w.bool(t.IsServiceSpecific)
	w.bool(t.UseNonStandardTexts)
	w.purposes(t.SpecialFeatureOptIns, 12)
	w.purposes(t.PurposesConsent, 24)
	w.purposes(t.PurposesLegitimate, 24)
	w.bool(t.PurposeOneTreatment)
	w.letters(t.PublisherCC)
	w.vendors(t.VendorConsents, field || len(t.VendorConsents) > 4095)
	w.vendors(t.VendorLegitimate, field || len(t.VendorLegitimate) > 4095)
	w.int(len(t.PublisherRestrictions), 12)
	for _, r := range t.PublisherRestrictions {
		w.int(r.Purpose, 6)
		w.int(int(r.Type), 2)
		w.ranges(r.Vendors)
	}
	s := w.string()
	if t.HasDisclosed {
		var w writer
		w.int(disclosedVendors, 3)
		w.vendors(t.Disclosed, field || len(t.Disclosed) > 4095)
		s += "." + w.string()
	}
	return s
}

// fibonacci writes a number in Fibonacci coding, greedily from the greatest.
func (w *writer) fibonacci(n int) {
	f := []int{1, 2}
	for f[len(f)-1] <= n {
		f = append(f, f[len(f)-1]+f[len(f)-2])
	}
	set := make([]bool, len(f))
	last := -1
	for i := len(f) - 1; i >= 0; i-- {
		if f[i] <= n {
			n -= f[i]
			set[i] = true
			last = max(last, i)
		}
	}
	for _, bit := range set[:last+1] {
		w.bool(bit)
	}
	w.bool(true)
}

// gppHeader writes a header of increasing ids: neighbours as a group, if grouped.
func gppHeader(ids []int, grouped bool) string {
	type item struct{ first, end int }
	var items []item
	for _, id := range ids {
		if n := len(items); grouped && n > 0 && items[n-1].end == id-1 {
			items[n-1].end++
		} else {
			items = append(items, item{id, id})
		}
	}
	var w writer
	w.int(gppType, 6)
	w.int(gppVersion, 6)
	w.int(len(items), 12)
	last := 0
	for _, it := range items {
		w.bool(it.end > it.first)
		w.fibonacci(it.first - last)
		if it.end > it.first {
			w.fibonacci(it.end - it.first)
		}
		last = it.end
	}
	return w.string()
}

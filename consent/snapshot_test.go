package consent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/identifier"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// run returns R(a) of PROTOCOL.md §16: the 32 bytes a, a+1, …, a+31.
func run(a byte) (b [32]byte) {
	for i := range b {
		b[i] = a + byte(i)
	}
	return b
}

// PROTOCOL.md §16, "leaf" and "pad leaf".
func TestLeafKnownAnswers(t *testing.T) {
	var l line
	*l.salt() = run(0x20)
	pad := l.hash()
	if got, want := hexOf(pad[:]), "fa111eb9aebaa176f68b0e1d8885a5f2ace61bd11de461467d52b1f0978c917c"; got != want {
		t.Errorf("pad leaf %s, want %s", got, want)
	}
	*l.sum() = sha256.Sum256([]byte("alice@example.com"))
	l[64] = byte(identifier.EmailUID2)
	*l.recordHash() = sha256.Sum256([]byte("kat consent record"))
	*l.account() = [32]byte(bytes.Repeat([]byte{0xaa}, 32))
	leaf := l.hash()
	if got, want := hexOf(leaf[:]), "8473998b96bff575d59b537cbafccf741acf0f9ed4fb4990c339724bd3ac9c85"; got != want {
		t.Errorf("leaf %s, want %s", got, want)
	}
}

// pad is a small stand-in for PROTOCOL.md §7.2: the next multiple of 16, so that
// small trees have pads too.
func pad(n uint64) uint64 { return max(16, (n+15)/16*16) }

// account returns the admissible record number i: two identifiers an account,
// ordered as a ledger is.
func account(i int) Record {
	rec := granted()
	rec.Account = Handle{}
	binary.BigEndian.PutUint64(rec.Account[:], uint64(i/2+1))
	rec.Class = identifier.EmailUID2 + identifier.Class(i%2)
	rec.Sum = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	rec.Secret = sha256.Sum256(rec.Sum[:])
	return rec
}

func ledgerOf(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = account(i)
	}
	return records
}

func stream(records []Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

var testID = run(0x60)

func writeAll(t testing.TB, records []Record) (file []byte, root tlog.Hash, leaves, size uint64) {
	t.Helper()
	var b bytes.Buffer
	root, leaves, size, err := WriteSnapshot(&b, &testID, openRule, noon, pad, stream(records))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), root, leaves, size
}

func open(t testing.TB, file []byte) *Snapshot {
	t.Helper()
	s, err := ReadSnapshot(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordHashes are the RFC 6962 hashes of a snapshot's leaves; tlog computes
// with them what it would of any log.
type recordHashes []tlog.Hash

func (h recordHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

func (h *recordHashes) add(t testing.TB, n int64, leaf []byte) {
	stored, err := tlog.StoredHashes(n, leaf, h)
	if err != nil {
		t.Fatal(err)
	}
	*h = append(*h, stored...)
}

// What is written is read, in order, under the root that tlog finds.
func TestSnapshot(t *testing.T) {
	for _, n := range []int{0, 1, 2, 15, 16, 17, 100, 1000} {
		records := ledgerOf(n)
		file, root, leaves, size := writeAll(t, records)
		s := open(t, file)
		if leaves != uint64(n) || size != pad(leaves) || s.Len() != leaves || s.Size() != size || s.Root() != root || !s.Time().Equal(noon) {
			t.Fatalf("%d records: %d leaves of %d, read back %d of %d", n, leaves, size, s.Len(), s.Size())
		}
		var stored recordHashes
		i := 0
		for leaf, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if leaf.Index() != uint64(i) {
				t.Fatalf("leaf %d says it is %d", i, leaf.Index())
			}
			if i < n {
				checkLeaf(t, leaf, &records[i])
			} else {
				checkPad(t, leaf)
			}
			random, err := s.At(uint64(i))
			if err != nil || random != leaf {
				t.Fatalf("At(%d) differs from All: %v", i, err)
			}
			hash := leaf.Hash()
			stored.add(t, int64(i), hash[:])
			i++
		}
		if uint64(i) != size {
			t.Fatalf("%d leaves read, want %d", i, size)
		}
		if want, err := tlog.TreeHash(int64(size), stored); err != nil || want != root {
			t.Fatalf("%d records: root differs from tlog's (%v)", n, err)
		}
	}
}

func checkLeaf(t *testing.T, leaf Leaf, rec *Record) {
	t.Helper()
	e, err := openRule.Admit(rec, noon)
	if err != nil {
		t.Fatal(err)
	}
	recordHash, salt := rec.Hash(), leaf.Salt()
	b := append([]byte("AMPSI-V01-consent"), salt[:]...)
	b = append(b, rec.Sum[:]...)
	b = append(b, byte(rec.Class))
	b = append(b, recordHash[:]...)
	b = append(b, rec.Account[:]...)
	if leaf.IsPad() || leaf.Input() != e.Input() || leaf.Account() != rec.Account || leaf.Class() != rec.Class || leaf.Hash() != sha256.Sum256(b) {
		t.Fatalf("leaf %d differs from its record", leaf.Index())
	}
}

func checkPad(t *testing.T, leaf Leaf) {
	t.Helper()
	x, salt := leaf.Input(), leaf.Salt()
	if !leaf.IsPad() || !x.IsZero() || leaf.Account() != (Handle{}) || leaf.Class() != 0 || salt == ([32]byte{}) {
		t.Fatalf("leaf %d is no pad", leaf.Index())
	}
	if leaf.Hash() != sha256.Sum256(append([]byte("AMPSI-V01-consent-pad"), salt[:]...)) {
		t.Fatalf("hash of pad %d", leaf.Index())
	}
}

// A seeded misuse: of a ledger in which identifiers were given for every
// purpose, the leaves are exactly the granted ads_matching ones.
func TestOnlyAdmittedRecordsBecomeLeaves(t *testing.T) {
	var ledger []Record
	var want []Handle
	for i, rec := range ledgerOf(400) {
		rec.Purpose = Purposes[i%len(Purposes)]
		rec.Status = Statuses[i/len(Purposes)%len(Statuses)]
		rec.SwitchedOff = i%3 == 0
		ledger = append(ledger, rec)
		if rec.Purpose == AdsMatching && rec.Status == Granted && !rec.SwitchedOff {
			want = append(want, rec.Account)
		}
	}
	file, _, leaves, _ := writeAll(t, ledger)
	var got []Handle
	for leaf, err := range open(t, file).All() {
		if err != nil {
			t.Fatal(err)
		}
		if !leaf.IsPad() {
			got = append(got, leaf.Account())
		}
	}
	if len(want) == 0 || leaves != uint64(len(want)) || !slices.Equal(got, want) {
		t.Errorf("%d leaves, want %d", len(got), len(want))
	}
}

// The same identifier under several purposes is one leaf, if one of them is
// ads_matching: a number given for two-factor login and for ads is no misuse.
func TestIdentifierUnderSeveralPurposes(t *testing.T) {
	both, security := account(0), account(1)
	security.Purpose = AccountSecurity2FA
	twofactor := both
	twofactor.Purpose = AccountSecurity2FA
	_, _, leaves, _ := writeAll(t, []Record{twofactor, both, security})
	if leaves != 1 {
		t.Errorf("%d leaves, want 1", leaves)
	}
}

// Erasing one record and writing again changes that leaf and no other salt.
func TestErasureClosesOneLeaf(t *testing.T) {
	records := ledgerOf(10)
	file, root, _, _ := writeAll(t, records)
	before := open(t, file)
	again, sameRoot, _, _ := writeAll(t, records)
	if !bytes.Equal(file, again) || root != sameRoot {
		t.Error("the same ledger, moment and id give another snapshot")
	}
	records[3].Secret = [32]byte{0xff} // what is left when the secret is gone: a guess
	after, _, _, _ := writeAll(t, records)
	for i := range before.Len() {
		a, err := before.At(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := open(t, after).At(i)
		if err != nil {
			t.Fatal(err)
		}
		if same := a == b; same == (i == 3) {
			t.Errorf("leaf %d is the same: %v", i, same)
		}
	}
}

func TestWriteSnapshotRefuses(t *testing.T) {
	failure := errors.New("ledger failed")
	swapped, twice := ledgerOf(4), ledgerOf(4)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	twice[2] = twice[1]
	classes, sums := ledgerOf(2), ledgerOf(2)
	classes[0].Class, classes[1].Class = 2, 1
	sums[1].Class = sums[0].Class
	if bytes.Compare(sums[0].Sum[:], sums[1].Sum[:]) < 0 {
		sums[0].Sum, sums[1].Sum = sums[1].Sum, sums[0].Sum
	}
	noAccount, noSecret := ledgerOf(1), ledgerOf(1)
	noAccount[0].Account = Handle{}
	noSecret[0].Secret = [32]byte{}
	failing := func(yield func(Record, error) bool) { _ = yield(account(0), nil) && yield(Record{}, failure) }

	tests := []struct {
		name   string
		ledger iter.Seq2[Record, error]
		pad    func(uint64) uint64
		want   error
	}{
		{"accounts out of order", stream(swapped), pad, errOrder},
		{"a record twice", stream(twice), pad, errOrder},
		{"classes out of order", stream(classes), pad, errOrder},
		{"hashes out of order", stream(sums), pad, errOrder},
		{"no account", stream(noAccount), pad, errAccount},
		{"no secret", stream(noSecret), pad, errSecret},
		{"failing ledger", failing, pad, failure},
		{"padded size too small", stream(ledgerOf(3)), func(n uint64) uint64 { return n - 1 }, errPadded},
	}
	for _, test := range tests {
		root, leaves, size, err := WriteSnapshot(io.Discard, &testID, openRule, noon, test.pad, test.ledger)
		if !errors.Is(err, test.want) || root != (tlog.Hash{}) || leaves != 0 || size != 0 {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

type fullDisk struct{ left int }

var errFull = errors.New("full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteSnapshotReportsWriteErrors(t *testing.T) {
	for _, left := range []int{0, bufferLen} {
		_, _, _, err := WriteSnapshot(&fullDisk{left}, &testID, openRule, noon, pad, stream(ledgerOf(1000)))
		if !errors.Is(err, errFull) {
			t.Errorf("%d bytes of room: %v", left, err)
		}
	}
}

// No byte can change, and none can go or come, without the snapshot being
// refused, but for those of the moment, which the root does not cover. The id is
// what the pads are made of.
func TestReadSnapshotFindsEveryChange(t *testing.T) {
	file, _, _, _ := writeAll(t, ledgerOf(13))
	moment := len(snapshotMagic) + 2
	for i := range file {
		if moment <= i && i < moment+timeLen {
			continue
		}
		changed := slices.Clone(file)
		changed[i] ^= 0x01
		if _, err := ReadSnapshot(bytes.NewReader(changed), int64(len(changed))); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for n := range file {
		if _, err := ReadSnapshot(bytes.NewReader(file[:n]), int64(n)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	longer := append(slices.Clone(file), 0)
	if _, err := ReadSnapshot(bytes.NewReader(longer), int64(len(longer))); !errors.Is(err, ErrSnapshot) {
		t.Fatalf("a byte more: %v", err)
	}
	if _, err := ReadSnapshot(bytes.NewReader(file), int64(len(file)+lineLen)); !errors.Is(err, ErrSnapshot) {
		t.Fatalf("said to be longer than it is: %v", err)
	}
}

// forge writes lines under their true root, as somebody could who can write the
// file: what is left to find is what the root does not say.
func forge(lines []line, leaves uint64) []byte {
	var b bytes.Buffer
	s := &sealer{w: bufio.NewWriter(&b), facts: sha256.New()}
	s.writeHeader(&testID, noon)
	for _, l := range lines {
		*l.kept() = l.hash()
		s.tree.AppendLeaves(l.kept()[:], sha256.Size)
		s.facts.Write(l[leafLen:hashAt])
		s.w.Write(l[:])
	}
	s.writeTrailer(leaves, uint64(len(lines)), s.tree.Root())
	s.w.Flush()
	return b.Bytes()
}

func TestReadSnapshotRefusesForgeries(t *testing.T) {
	first, second := account(0), account(1)
	a, b, p := newLine(&testID, &first), newLine(&testID, &second), newPad(&testID, 2)
	unknown := b
	unknown[64] = 0x7f
	stray := p
	stray[128] = 1
	tests := []struct {
		name   string
		lines  []line
		leaves uint64
		sound  bool
	}{
		{"none of these", []line{a, b, p}, 2, true},
		{"nothing", nil, 0, true},
		{"out of order", []line{b, a, p}, 2, false},
		{"twice", []line{a, a, p}, 2, false},
		{"pad among the leaves", []line{a, newPad(&testID, 1), p}, 2, false},
		{"leaf among the pads", []line{a, b, p}, 1, false},
		{"pad of another position", []line{a, b, newPad(&testID, 3)}, 2, false},
		{"pad with an account", []line{a, b, stray}, 2, false},
		{"class that does not exist", []line{a, unknown, p}, 2, false},
		{"more leaves than lines", []line{a, b}, 3, false},
	}
	for _, test := range tests {
		file := forge(test.lines, test.leaves)
		if _, err := ReadSnapshot(bytes.NewReader(file), int64(len(file))); (err == nil) != test.sound || err != nil && !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestReadSnapshotRefusesTimeOutOfRange(t *testing.T) {
	file, _, _, _ := writeAll(t, nil)
	binary.BigEndian.PutUint32(file[len(snapshotMagic)+2+8:], uint32(time.Second))
	if _, err := ReadSnapshot(bytes.NewReader(file), int64(len(file))); !errors.Is(err, ErrSnapshot) {
		t.Errorf("a second of 10⁹ + 1 nanoseconds: %v", err)
	}
}

// failingDisk reads up to its end and fails there.
type failingDisk struct {
	io.ReaderAt
	end int64
}

var errDisk = errors.New("bad sector")

func (d failingDisk) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > d.end {
		return 0, errDisk
	}
	return d.ReaderAt.ReadAt(b, off)
}

func TestReadErrorsAreReported(t *testing.T) {
	file, _, _, _ := writeAll(t, ledgerOf(13))
	for _, end := range []int64{0, int64(headerLen), int64(headerLen + lineLen)} {
		if _, err := ReadSnapshot(failingDisk{bytes.NewReader(file), end}, int64(len(file))); !errors.Is(err, errDisk) {
			t.Errorf("readable up to %d: %v", end, err)
		}
	}
	// The trailer can be read, the lines cannot.
	holes := readerAt(func(b []byte, off int64) (int, error) {
		if off >= int64(headerLen) && off < int64(len(file)-trailerLen) {
			return 0, errDisk
		}
		return bytes.NewReader(file).ReadAt(b, off)
	})
	if _, err := ReadSnapshot(holes, int64(len(file))); !errors.Is(err, errDisk) {
		t.Errorf("lines cannot be read: %v", err)
	}
	s := open(t, file)
	s.r = holes
	if _, err := s.At(0); !errors.Is(err, errDisk) {
		t.Errorf("At: %v", err)
	}
}

type readerAt func([]byte, int64) (int, error)

func (f readerAt) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

func TestAtOutOfRangePanics(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(1))
	s := open(t, file)
	defer func() {
		if recover() == nil {
			t.Error("a leaf beyond the last is read")
		}
	}()
	s.At(size)
}

func TestAllStopsWhenAsked(t *testing.T) {
	file, _, _, _ := writeAll(t, ledgerOf(5))
	n := 0
	for range open(t, file).All() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("read %d leaves after being stopped at 2", n)
	}
}

func TestSnapshotDoesNotAllocatePerLeaf(t *testing.T) {
	allocs := func(n int) float64 {
		records := ledgerOf(n)
		file, _, _, _ := writeAll(t, records)
		return testing.AllocsPerRun(3, func() {
			if _, _, _, err := WriteSnapshot(io.Discard, &testID, openRule, noon, pad, stream(records)); err != nil {
				t.Fatal(err)
			}
			open(t, file)
		})
	}
	if few, many := allocs(100), allocs(5000); many > few+20 {
		t.Errorf("%v allocations for 100 leaves, %v for 5000", few, many)
	}
}

// Any bytes are a snapshot or an error, and a snapshot is what forge would have
// written of its lines.
func FuzzReadSnapshot(f *testing.F) {
	for _, n := range []int{0, 1, 5} {
		file, _, _, _ := writeAll(f, ledgerOf(n))
		f.Add(file)
		f.Add(file[:len(file)-1])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := ReadSnapshot(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if !errors.Is(err, ErrSnapshot) || s != nil {
				t.Fatalf("error is %v", err)
			}
			return
		}
		var lines []line
		for leaf, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, leaf.line)
		}
		// forge has a header of its own: the root covers neither moment nor id.
		if again := forge(lines, s.Len()); !bytes.Equal(again[headerLen:], file[headerLen:]) {
			t.Fatal("the same leaves give another file")
		}
	})
}

func BenchmarkWriteSnapshot(b *testing.B) {
	records := ledgerOf(10000)
	for b.Loop() {
		if _, _, _, err := WriteSnapshot(io.Discard, &testID, openRule, noon, pad, stream(records)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/leaf")
}

func BenchmarkReadSnapshot(b *testing.B) {
	file, _, _, size := writeAll(b, ledgerOf(10000))
	for b.Loop() {
		open(b, file)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/leaf")
}

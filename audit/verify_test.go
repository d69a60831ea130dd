package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestVerify(t *testing.T) {
	for _, batches := range [][]int{nil, {1}, {255}, {256}, {257}, {1, 2, 3}, {300, 300}} {
		log, size := logOf(t, batches...), 0
		for _, n := range batches {
			size += n
		}
		r, err := verify(t, log)
		if err != nil {
			t.Fatalf("%v: %v", batches, err)
		}
		if want := mth(entriesFrom(0, size)); r.Origin != origin || r.Size != int64(size) || r.Root != want {
			t.Errorf("%v: %+v", batches, r)
		}
	}
}

// No byte of a log may change, whichever and whatever of it.
func TestEveryFlippedByteIsFound(t *testing.T) {
	log := logOf(t, 250, 10, 30, 10) // with partial tiles of earlier checkpoints
	if _, err := verify(t, log); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(mapKeys(log))
	if len(names) != 10 {
		t.Fatalf("files %v", names)
	}
	for _, name := range names {
		content := log[name].Data
		for i := range content {
			for bit := range 8 {
				if name != checkpointFile && bit != i%8 {
					continue
				}
				content[i] ^= 1 << bit
				_, err := verify(t, log)
				content[i] ^= 1 << bit
				if err == nil {
					t.Fatalf("%s: bit %d of byte %d was flipped, and nothing found", name, bit, i)
				}
				if !strings.HasPrefix(err.Error(), "audit: ") {
					t.Fatalf("%s: byte %d: %v", name, i, err)
				}
			}
		}
	}
}

// What else can be done to the files of a log, and what Verify says of it.
func TestTampering(t *testing.T) {
	base := logOf(t, 250, 10, 40)
	longer := logOf(t, 250, 10, 40, 7)
	other := logOf(t, 300, 1) // the same entries, and one more
	cut := func(name string, n int) func(fstest.MapFS) {
		return func(m fstest.MapFS) {
			m[name] = &fstest.MapFile{Data: base[name].Data[:len(base[name].Data)+min(n, 0)]}
			m[name].Data = append(slices.Clone(m[name].Data), make([]byte, max(n, 0))...)
		}
	}
	swap := func(name string, i, j int) func(fstest.MapFS) {
		return func(m fstest.MapFS) {
			entries, _, err := cutBundle(base[name].Data, 44)
			if err != nil {
				t.Fatal(err)
			}
			entries[i], entries[j] = entries[j], entries[i]
			m[name] = &fstest.MapFile{}
			for _, e := range entries {
				m[name].Data = appendEntry(m[name].Data, e)
			}
		}
	}
	for name, c := range map[string]struct {
		do   func(fstest.MapFS)
		want string
	}{
		"no checkpoint": {func(m fstest.MapFS) { delete(m, "checkpoint") }, "audit: checkpoint is missing"},
		"no bundle":     {func(m fstest.MapFS) { delete(m, "tile/entries/000") }, "audit: tile/entries/000 is missing"},
		"no tile":       {func(m fstest.MapFS) { delete(m, "tile/0/000") }, "audit: tile/0/000 is missing"},
		"no last tile":  {func(m fstest.MapFS) { delete(m, "tile/0/001.p/44") }, "audit: tile/0/001.p/44 is missing"},
		"no upper tile": {func(m fstest.MapFS) { delete(m, "tile/1/000.p/1") }, "audit: tile/1/000.p/1 is missing"},
		"no tiles":      {func(m fstest.MapFS) { maps.DeleteFunc(m, isTile) }, "audit: tile/entries/000 is missing"},
		"cut tile":      {cut("tile/0/000", -32), "audit: tile/0/000 is cut off"},
		"longer tile":   {cut("tile/0/001.p/44", 32), "audit: tile/0/001.p/44 is too long"},
		"cut bundle":    {cut("tile/entries/000", -1), "audit: tile/entries/000 does not hold 256 entries"},
		"longer bundle": {cut("tile/entries/001.p/44", 2), "audit: tile/entries/001.p/44 does not hold 44 entries"},
		"cut partial":   {cut("tile/0/001.p/4", -1), "audit: tile/0/001.p/4 is cut off"},
		"reordered":     {swap("tile/entries/001.p/44", 3, 8), "audit: entry 259 is not the one that tile/0/001.p/44 has"},
		"reordered with its hashes": {func(m fstest.MapFS) {
			swap("tile/entries/001.p/44", 3, 8)(m)
			tile := slices.Clone(base["tile/0/001.p/44"].Data)
			a, b := slices.Clone(tile[3*32:4*32]), slices.Clone(tile[8*32:9*32])
			copy(tile[3*32:], b)
			copy(tile[8*32:], a)
			m["tile/0/001.p/44"] = &fstest.MapFile{Data: tile}
		}, "audit: the entries and tiles are not those of the checkpoint"},
		"dropped": {func(m fstest.MapFS) {
			entries, _, _ := cutBundle(base["tile/entries/001.p/44"].Data, 44)
			m["tile/entries/001.p/44"] = &fstest.MapFile{}
			for _, e := range slices.Delete(slices.Clone(entries), 5, 6) {
				m["tile/entries/001.p/44"].Data = appendEntry(m["tile/entries/001.p/44"].Data, e)
			}
		}, "audit: tile/entries/001.p/44 does not hold 44 entries"},
		"wrong upper tile": {func(m fstest.MapFS) { m["tile/1/000.p/1"] = &fstest.MapFile{Data: make([]byte, 32)} },
			"audit: tile/1/000.p/1 does not have the hashes of the tiles below it"},
		"wrong old partial": {func(m fstest.MapFS) { m["tile/0/000.p/2"] = &fstest.MapFile{Data: make([]byte, 64)} },
			"audit: tile/0/000.p/2 differs from what became of it"},
		"wrong old bundle": {func(m fstest.MapFS) {
			m["tile/entries/000.p/1"] = &fstest.MapFile{Data: appendEntry(nil, []byte("another"))}
		}, "audit: tile/entries/000.p/1 differs from what became of it"},
		"older checkpoint": {func(m fstest.MapFS) { maps.Copy(m, longer); m["checkpoint"] = base["checkpoint"] },
			"is beyond the checkpoint: written since, or the checkpoint was taken back"},
		"newer checkpoint": {func(m fstest.MapFS) { m["checkpoint"] = other["checkpoint"] }, "audit: tile/entries/001.p/45 is missing"},
		"stray":            {func(m fstest.MapFS) { m["tile/0/readme"] = &fstest.MapFile{} }, "audit: there is a file among the tiles that is none"},
		"stray level":      {func(m fstest.MapFS) { m["tile/2/000.p/1"] = &fstest.MapFile{} }, "audit: tile/2/000.p/1 is beyond the checkpoint"},
		"empty checkpoint": {func(m fstest.MapFS) { m["checkpoint"] = &fstest.MapFile{} }, "audit: not a signed checkpoint"},
		"long checkpoint":  {cut("checkpoint", maxCheckpoint), "audit: checkpoint is too long"},
	} {
		m := maps.Clone(base)
		c.do(m)
		if _, err := verify(t, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	// What was changed above was a copy; and an old partial tile that is right is right.
	base["tile/0/000.p/2"] = &fstest.MapFile{Data: base["tile/0/000"].Data[:64]}
	if _, err := verify(t, base); err != nil {
		t.Error(err)
	}
}

func isTile(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "tile/") }

// A signature of 68 bytes leaves two bits of its last digit unused: they have to
// be zero, or one checkpoint had four spellings.
func TestSignatureHasOneSpelling(t *testing.T) {
	signed := logOf(t, 3)["checkpoint"].Data
	if !bytes.HasSuffix(signed, []byte("=\n")) {
		t.Fatalf("%q", signed)
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := &signed[len(signed)-3]
	*last = digits[strings.IndexByte(digits, *last)+1]
	if _, err := note.Open(signed, note.VerifierList(ownLog(t))); err != nil {
		t.Fatalf("package note has learnt it: %v", err)
	}
	if _, err := ParseCheckpoint(signed, ownLog(t), Quorum{}); err != errSignature {
		t.Error(err)
	}
}

func TestWhoseCheckpoint(t *testing.T) {
	log := logOf(t, 3)
	for name, v := range map[string]note.Verifier{
		"another key":  signerNamed(t, origin, 2).Verifier(),
		"another name": signerNamed(t, "other.example/log", 1).Verifier(),
	} {
		if _, err := Verify(log, Expect{Log: v}); err != errSigned {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One log's key signs another log's checkpoint.
	text := formatHead("other.example/log", 0, mth(nil))
	signed, err := note.Sign(&note.Note{Text: text}, signerNamed(t, origin, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCheckpoint(signed, ownLog(t), Quorum{}); err != errSigned {
		t.Errorf("another log's: %v", err)
	}
}

// A company writes its log anew, with right tiles and a right signature. Who kept
// a checkpoint sees it.
func TestForksAreFound(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	var kept [][]byte
	for _, n := range []int{0, 1, 7, 248, 1, 50} {
		if n > 0 {
			add(t, l, n)
		}
		kept = append(kept, l.Tree().Checkpoint().Bytes())
	}
	full := copyOf(t, dir)
	if r, err := verify(t, full, kept...); err != nil || r.Kept != len(kept) {
		t.Fatal(r, err)
	}
	forkDir := t.TempDir()
	fork := openLog(t, forkDir)
	all := entriesFrom(0, 320)
	all[40] = []byte("rewritten")
	if _, err := fork.Append(all...); err != nil {
		t.Fatal(err)
	}
	short := logOf(t, 100)
	for i, signed := range kept {
		if err := VerifyConsistency(signed, full, ownLog(t), Quorum{}); err != nil {
			t.Errorf("kept %d: %v", i, err)
		}
		want := error(nil)
		if i >= 3 { // from 256 entries on
			want = ErrFork
		}
		if _, err := verify(t, os.DirFS(forkDir), signed); err != want {
			t.Errorf("fork, kept %d: %v", i, err)
		}
		if err := VerifyConsistency(signed, os.DirFS(forkDir), ownLog(t), Quorum{}); err != want {
			t.Errorf("fork, kept %d: %v", i, err)
		}
		if i >= 3 {
			want = ErrRollback
		}
		if _, err := verify(t, short, signed); err != want {
			t.Errorf("short, kept %d: %v", i, err)
		}
		if err := VerifyConsistency(signed, short, ownLog(t), Quorum{}); err != want {
			t.Errorf("short, kept %d: %v", i, err)
		}
	}
	if _, err := verify(t, full, []byte("nothing")); err != errCheckpoint {
		t.Error(err)
	}
	// Two that were signed for one size can't both be extended.
	small := openLog(t, t.TempDir())
	if _, err := small.Append([]byte("rewritten")); err != nil {
		t.Fatal(err)
	}
	other := small.Tree().Checkpoint().Bytes()
	for _, both := range [][][]byte{{kept[1], other}, {other, kept[1]}} {
		if _, err := verify(t, full, both...); err != ErrFork {
			t.Error(err)
		}
	}
}

// Others read our logs: package note the checkpoint, tlog the tiles.
func TestInterop(t *testing.T) {
	log := logOf(t, 70, 600)
	n, err := note.Open(log["checkpoint"].Data, note.VerifierList(ownLog(t)))
	if err != nil {
		t.Fatal(err)
	}
	// A checkpoint is the Go checksum database's tree note but for its first line.
	tree, err := tlog.ParseTree([]byte(strings.Replace(n.Text, origin, "go.sum database tree", 1)))
	if err != nil {
		t.Fatal(err)
	}
	hashes := tlog.TileHashReader(tree, plainTiles{log})
	all := entriesFrom(0, 670)
	for i := range tree.N {
		proof, err := tlog.ProveRecord(tree.N, i, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(all[i])); err != nil {
			t.Fatal(i, err)
		}
	}
}

// plainTiles reads tiles as tlog-tiles says, and nothing of this package.
type plainTiles struct{ fstest.MapFS }

func (plainTiles) Height() int                     { return 8 }
func (plainTiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (p plainTiles) ReadTiles(tiles []tlog.Tile) (content [][]byte, err error) {
	for _, t := range tiles {
		b, err := p.ReadFile(strings.Replace(t.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		content = append(content, b)
	}
	return content, nil
}

// A tree that is read is as good as one that is verified, for what is read of it.
func TestTreeChecksWhatItReads(t *testing.T) {
	log := logOf(t, 250, 50)
	tree, err := Read(log, ownLog(t), Quorum{})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, 1, 255, 256, 299, 300} {
		i := from
		for e, err := range tree.Entries(from) {
			if err != nil || !bytes.Equal(e, entriesFrom(int(i), 1)[0]) {
				t.Fatalf("entry %d: %q %v", i, e, err)
			}
			i++
		}
		if i != 300 {
			t.Errorf("from %d to %d", from, i)
		}
	}
	for range tree.Entries(0) {
		break // may be left early
	}
	for _, from := range []int64{-1, 301} {
		for _, err := range tree.Entries(from) {
			if err != errRange {
				t.Errorf("from %d: %v", from, err)
			}
		}
	}
	log["tile/entries/000"].Data[300] ^= 1
	seen := 0
	for e, err := range tree.Entries(0) {
		if err == nil {
			seen++
			continue
		}
		if !strings.Contains(err.Error(), "is not the one that was logged") && !errors.Is(err, errBundle) && !strings.Contains(err.Error(), "does not hold") || e != nil {
			t.Error(err)
		}
	}
	if seen != 0 {
		t.Errorf("%d entries of a bundle with a wrong one", seen)
	}
	log["tile/0/000"].Data[5] ^= 1
	if _, err := tree.Prove(7); err == nil {
		t.Error("proved from a wrong tile")
	}
	if _, err := tree.ProveConsistency(7); err == nil {
		t.Error("proved from a wrong tile")
	}
}

// The reader of an older checkpoint finds its partial tiles in the full ones.
func TestOldTreeOutlivesItsTiles(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	add(t, l, 200)
	old := l.Tree()
	add(t, l, 200)
	if _, err := os.Stat(dir + "/tile/0/000.p"); !os.IsNotExist(err) {
		t.Fatalf("the partial tiles are still there: %v", err)
	}
	p, err := old.Prove(150)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := VerifyInclusion(p.Bytes(), entriesFrom(150, 1)[0], ownLog(t), Quorum{}); i != 150 || err != nil {
		t.Error(i, err)
	}
	n := 0
	for _, err := range old.Entries(0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 200 {
		t.Errorf("%d entries", n)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	log := logOf(f, 5)["checkpoint"].Data
	f.Add(log)
	f.Add([]byte(origin + "\n5\nAAAA\n\n— a AAAAAAAA\n"))
	f.Add([]byte(strings.Replace(string(log), "\n5\n", "\n05\n", 1)))
	f.Add([]byte(formatHead(origin, 5, tlog.Hash{}) + "0")) // a line without its end
	v := ownLog(f)
	f.Fuzz(func(t *testing.T, signed []byte) {
		// parseHead sees texts that no key of ours has signed.
		if c, err := parseHead(string(signed)); err == nil {
			if again := formatHead(c.Origin, c.Size, c.Root); again != string(signed) {
				t.Errorf("%q is read as %q", signed, again)
			}
		} else if c != nil {
			t.Error("a failed parse returned something")
		}
		c, err := ParseCheckpoint(signed, v, Quorum{})
		if err != nil {
			if c != nil {
				t.Error("a failed parse returned something")
			}
			return
		}
		if !bytes.Equal(c.Bytes(), signed) || !bytes.HasPrefix(signed, []byte(fmt.Sprintf("%s\n5\n", origin))) {
			t.Errorf("accepted %q", signed)
		}
	})
}

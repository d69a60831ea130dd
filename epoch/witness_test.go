package epoch_test

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/publication"
)

// witnessed is a platform whose log has witnesses.
type witnessed struct {
	*platform
	keys []*audit.Cosigner
	of   []*audit.WitnessKey
}

func newWitnessed(t *testing.T, names ...string) *witnessed {
	w := &witnessed{platform: newPlatform(t, len(names))}
	for _, name := range names {
		_, private, err := ed25519.GenerateKey(nil)
		must(t, err)
		key, err := audit.NewCosigner(name, private)
		must(t, err)
		w.keys, w.of = append(w.keys, key), append(w.of, &key.WitnessKey)
	}
	return w
}

// head is the log's checkpoint.
func (w *witnessed) head(t *testing.T) *audit.Checkpoint {
	t.Helper()
	log, err := audit.NewVerifier(logbook.PublicName(w.Identity.ID()), w.Identity.Public())
	must(t, err)
	tree, err := audit.Read(os.DirFS(w.Book.PublicDir()), log, audit.Quorum{})
	must(t, err)
	return tree.Checkpoint()
}

// cosign has the witness of the index cosign a checkpoint.
func (w *witnessed) cosign(t *testing.T, c *audit.Checkpoint, by int) {
	t.Helper()
	signed, err := audit.Cosign(c, w.keys[by], time.Now())
	must(t, err)
	_, err = audit.PublishCosigned(t.Context(), w.Book.PublicDir(), w.Book.Signer(), audit.PublicEvents, signed, audit.Quorum{Of: w.of, Least: 1})
	must(t, err)
}

func (w *witnessed) wantCurrent(t *testing.T, want [32]byte) {
	t.Helper()
	switch id, err := publication.Current(filepath.Join(w.Dir, "tables"), w.policy.Hash()); {
	case want == [32]byte{} && !errors.Is(err, publication.ErrNone):
		t.Fatalf("a table is published without its witnesses: %v", err)
	case want != [32]byte{} && (err != nil || id != want):
		t.Fatalf("another table is published: %v", err)
	}
}

// A table under a policy that asks for witnesses is published when they have cosigned
// a log with it, not before, and the one before is answered under meanwhile.
func TestTableWaitsForItsWitnesses(t *testing.T) {
	w := newWitnessed(t, "w1", "w2")
	s := w.open(t)
	w.log(t)
	before := w.head(t) // of a log without the table
	first, err := s.Rotate(t.Context(), w.policy)
	must(t, err)
	w.tend(t, s)
	w.cosign(t, before, 0)
	w.cosign(t, before, 1)
	w.tend(t, s)
	w.wantCurrent(t, [32]byte{})

	asked := w.head(t)
	w.log(t) // the log grows before their answers come
	w.cosign(t, asked, 0)
	w.tend(t, s)
	w.wantCurrent(t, [32]byte{}) // one is not two
	w.cosign(t, asked, 1)
	w.tend(t, w.open(t)) // also after a restart
	w.wantCurrent(t, first.TableID)
	w.wantProven(t, first)

	second, err := s.Rotate(t.Context(), w.policy)
	must(t, err)
	third, err := s.Rotate(t.Context(), w.policy) // in its place
	must(t, err)
	w.tend(t, s)
	w.wantCurrent(t, first.TableID)
	if _, _, _, err := s.Take(second.TableID, w.policy, time.Now()); err == nil {
		t.Error("a table that another has replaced is kept")
	}
	_, until, done, err := s.Take(first.TableID, w.policy, time.Now())
	must(t, err)
	done()
	if !until.Equal(first.NotAfter) {
		t.Errorf("the first is answered under until %v", until)
	}

	asked = w.head(t)
	w.cosign(t, asked, 0)
	w.cosign(t, asked, 1)
	w.tend(t, s)
	w.wantCurrent(t, third.TableID)
	w.wantProven(t, third)
	if _, until, done, err = s.Take(first.TableID, w.policy, time.Now()); err != nil || time.Until(until) > time.Hour {
		t.Fatalf("after the next the first is answered under until %v, %v", until, err)
	}
	done()
	if len(w.tables(t)) != 2 {
		t.Errorf("%d tables, want 2", len(w.tables(t)))
	}
}

// A process that is killed as it publishes a table leaves it waiting and published at
// once: the next one ends that, and the table keeps its time.
func TestKilledWhilePublishing(t *testing.T) {
	w := newWitnessed(t, "w1")
	s := w.open(t)
	m, err := s.Rotate(t.Context(), w.policy)
	must(t, err)
	w.cosign(t, w.head(t), 0)
	w.tend(t, s)
	w.wantCurrent(t, m.TableID)
	tables := filepath.Join(w.Dir, "tables")
	must(t, publication.SetNext(tables, w.policy.Hash(), m.TableID))
	w.tend(t, s)
	w.wantCurrent(t, m.TableID)
	if _, err := publication.Next(tables, w.policy.Hash()); !errors.Is(err, publication.ErrNone) {
		t.Errorf("it waits still: %v", err)
	}
	_, until, done, err := s.Take(m.TableID, w.policy, time.Now())
	must(t, err)
	done()
	if !until.Equal(m.NotAfter) {
		t.Errorf("it is answered under until %v, and not %v", until, m.NotAfter)
	}
}

// log puts something on record.
func (w *witnessed) log(t *testing.T) {
	t.Helper()
	entries, err := logbook.Entries(time.Now(), audit.KeyDestroyed{TableID: [32]byte{1}})
	must(t, err)
	must(t, w.Store.Record(t.Context(), entries...))
	must(t, w.Book.Publish(t.Context()))
}

// wantProven wants what an advertiser believes to be beside the published table.
func (w *witnessed) wantProven(t *testing.T, m *publication.Manifest) {
	t.Helper()
	proof, err := publication.Proof(publication.Path(filepath.Join(w.Dir, "tables"), m.TableID))
	must(t, err)
	must(t, m.CheckLogged(proof, w.policy, w.Identity.Public(), w.of))
	if err := m.CheckLogged(proof, w.policy, w.Identity.Public(), w.of[:1]); !errors.Is(err, audit.ErrWitnesses) {
		t.Errorf("for who trusts one of them: %v", err)
	}
}

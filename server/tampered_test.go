package server_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/table"
)

// mirror copies what the platform has published.
func (w *world) mirror() string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "mirror")
	must(w.t, os.CopyFS(dir, os.DirFS(server.TablesDir(w.dir))))
	return dir
}

// signedAnew signs a manifest that was changed, as somebody.
func signedAnew(t *testing.T, path string, by *identity.Identity, change func(*ampsiv1.Manifest)) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path, "manifest"))
	must(t, err)
	f, m := new(ampsiv1.Frame), new(ampsiv1.Manifest)
	must(t, errors.Join(proto.Unmarshal(b, f), proto.Unmarshal(f.Body, m)))
	change(m)
	f.Body, err = proto.Marshal(m)
	must(t, err)
	f.Sig = psi.Sign(by.Key(), psi.FrameManifest, psi.SenderHolder, nil, f.Body)
	b, err = proto.Marshal(f)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(path, "manifest"), b, 0o600))
}

// Whatever of a published table is not what the platform signed and logged is
// refused before anything is asked.
func TestTamperedTables(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.publish()
		old := w.mirror()
		oldID := w.current()
		time.Sleep(time.Second)
		w.publish()
		other := newIdentity(t, "another platform")
		first := "shards-00000"
		edit := func(name string, change func([]byte) []byte) func(string, string) {
			return func(_, path string) {
				b, err := os.ReadFile(filepath.Join(path, name))
				must(t, err)
				must(t, os.WriteFile(filepath.Join(path, name), change(b), 0o600))
			}
		}
		anew := func(by *identity.Identity, change func(*ampsiv1.Manifest)) func(string, string) {
			return func(_, path string) { signedAnew(t, path, by, change) }
		}
		for name, c := range map[string]struct {
			tamper func(dir, path string)
			want   psi.AbortCode
		}{
			"a bit of a shard": {edit(first, func(b []byte) []byte { return changeEntry(t, b, func(s []byte) []byte { s[7] ^= 1; return s }) }), psi.AbortTable},
			"an entry fewer":   {edit(first, func(b []byte) []byte { return changeEntry(t, b, func([]byte) []byte { return make([]byte, 5) }) }), psi.AbortTable},
			"another table's shards": {func(_, path string) {
				b, err := os.ReadFile(filepath.Join(publication.Path(old, oldID), first))
				must(t, errors.Join(err, os.WriteFile(filepath.Join(path, first), b, 0o600)))
			}, psi.AbortTable},
			"no shards":             {func(_, path string) { must(t, os.Remove(filepath.Join(path, first))) }, psi.AbortMalformed},
			"a bit of the manifest": {edit("manifest", func(b []byte) []byte { b[len(b)-5] ^= 1; return b }), psi.AbortAuth},
			"another root, signed":  {anew(w.identity, func(m *ampsiv1.Manifest) { m.TableRoot[0] ^= 1 }), psi.AbortAuth},
			"another key, signed":   {anew(w.identity, func(m *ampsiv1.Manifest) { k := psi.NewKey().Public().Bytes(); m.PkS = k[:] }), psi.AbortAuth},
			"valid for too long":    {anew(w.identity, func(m *ampsiv1.Manifest) { m.NotAfter = m.NotBefore + 30*86400 + 1 }), psi.AbortReplay},
			"short tokens":          {anew(w.identity, func(m *ampsiv1.Manifest) { m.TokenLen = 10 }), psi.AbortTerms},
			"signed by another":     {anew(other, func(*ampsiv1.Manifest) {}), psi.AbortAuth},
			"another platform's": {func(dir, path string) {
				id := other.ID()
				signedAnew(t, path, other, func(m *ampsiv1.Manifest) { m.HolderId = id[:] })
				must(t, publication.PutKey(dir, other.Public()))
			}, psi.AbortAuth},
			"the proof of another table": {func(_, path string) {
				b, err := publication.Proof(publication.Path(old, oldID))
				must(t, errors.Join(err, publication.PutProof(path, b)))
			}, psi.AbortAuth},
			"a bit of the proof": {edit("manifest.tlog-proof", func(b []byte) []byte { b[len(b)-10] ^= 1; return b }), psi.AbortAuth},
			"no proof":           {func(_, path string) { must(t, os.Remove(filepath.Join(path, "manifest.tlog-proof"))) }, psi.AbortTable},
		} {
			a := w.newAdvertiser(fmt.Sprintf("shop %q", name)).cached()
			a.TablesFrom = w.mirror()
			c.tamper(a.TablesFrom, publication.Path(a.TablesFrom, w.current()))
			a.on = func(m moment, f *ampsiv1.Frame) { t.Errorf("%s: a frame %d", name, f.Type) }
			_, _, err := a.matchIn(client.ALearns, "", people(0, 20)...)
			if err == nil {
				t.Errorf("%s is not noticed", name)
			}
			wantCode(t, err, c.want)

			a.on = nil // and nothing stays of it
			a.TablesFrom = w.mirror()
			_, _, err = a.matchIn(client.ALearns, "", people(0, 20)...)
			if err != nil {
				t.Errorf("after %s: %v", name, err)
			}
		}

		// The manifest before is true, and replayed as the current one when its time is over.
		a := w.newAdvertiser("late").cached()
		a.TablesFrom = old
		time.Sleep(10 * 24 * time.Hour)
		_, _, err := a.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortReplay)
	})
}

// shardsOf cuts a body into its shards.
func shardsOf(body []byte) (shards [][]byte) {
	for body = body[6:]; len(body) > 0; {
		n := 4 + binary.BigEndian.Uint32(body)
		shards, body = append(shards, body[4:n]), body[n:]
	}
	return shards
}

// bodyOf is the body of shards from the first on.
func bodyOf(first int, shards [][]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(first))
	b = binary.BigEndian.AppendUint32(b, uint32(len(shards)))
	for _, s := range shards {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return b
}

// changeEntry changes a shard of one entry.
func changeEntry(t *testing.T, body []byte, change func([]byte) []byte) []byte {
	t.Helper()
	shards := shardsOf(body)
	for i, s := range shards {
		if binary.BigEndian.Uint32(s) == 1 {
			shards[i] = change(s)
			return bodyOf(0, shards)
		}
	}
	t.Fatal("no shard has one entry")
	return nil
}

// split makes eight bodies of the one that a small table has.
func split(t *testing.T, path string) {
	t.Helper()
	name := filepath.Join(path, "shards-00000")
	b, err := os.ReadFile(name)
	must(t, err)
	shards := shardsOf(b)
	for first := 0; first < table.Shards; first += table.Shards / 8 {
		must(t, os.WriteFile(filepath.Join(path, fmt.Sprintf("shards-%05d", first)), bodyOf(first, shards[first:first+table.Shards/8]), 0o600))
	}
}

// A download that broke goes on with the shard after those that came.
func TestBrokenDownloadResumes(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.publish()
		path := publication.Path(server.TablesDir(w.dir), w.current())
		split(t, path)
		w.shop.cached()
		bodies := 0
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			if m == got && psi.FrameType(f.Type) == psi.FrameShards {
				if bodies++; bodies == 3 {
					f.Body = f.Body[:1] // the process is killed at its third body, as far as the disk can tell
				}
			}
		}
		_, _, err := w.shop.matchIn(client.ALearns, "", people(40, 60)...)
		wantCode(t, err, psi.AbortTable)
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			if m == got && psi.FrameType(f.Type) == psi.FrameShards {
				bodies++
			}
		}
		bodies = 0
		rows, _, err := w.shop.matchIn(client.ALearns, "", people(40, 60)...)
		must(t, err)
		wantRows(t, rows, rowsOf(1, 10))
		if bodies != 8-2 {
			t.Errorf("%d bodies came the second time, want 6", bodies)
		}
	})
}

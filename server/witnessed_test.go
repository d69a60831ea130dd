package server_test

import (
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/server"
)

// newWitness is a witness that the advertiser trusts.
func (a *advertiser) newWitness(t *testing.T, name string) *audit.Cosigner {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	key, err := audit.NewWitnessKey(name, public)
	must(t, err)
	a.Witnesses = append(a.Witnesses, key)
	cosigner, err := audit.NewCosigner(name, private)
	must(t, err)
	return cosigner
}

// cosign has a witness cosign the public log.
func (w *world) cosign(by *audit.Cosigner) {
	w.t.Helper()
	signer, err := audit.NewSigner(audit.PublicName(audit.Hash(w.identity.ID())), w.identity.Key())
	must(w.t, err)
	log, err := audit.Open(filepath.Join(server.LogsDir(w.dir), "public"), signer, audit.PublicEvents)
	must(w.t, err)
	defer log.Close()
	signed, err := audit.Cosign(log.Tree().Checkpoint(), by, time.Now())
	must(w.t, err)
	_, err = log.Publish(signed, audit.Quorum{Of: []*audit.WitnessKey{&by.WitnessKey}, Least: 1})
	must(w.t, err)
}

// A policy that asks for witnesses gets tables that enough of them have seen.
func TestWitnessedTables(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "witnesses = 1"), members(50), func(t *testing.T, w *world) {
		w.publish()
		cosigner := w.shop.cached().newWitness(t, "witness.example")
		must(t, w.server.Tend(t.Context()))
		_, _, err := w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable) // it waits
		w.cosign(cosigner)
		must(t, w.server.Tend(t.Context()))
		for range 2 { // the second time, the log's head is another one without cosignatures
			rows, _, err := w.shop.matchIn(client.ALearns, "", people(40, 60)...)
			must(t, err)
			wantRows(t, rows, rowsOf(1, 10))
		}
		w.shop.Witnesses = nil
		_, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortAuth)
	})
}

// At the end of an epoch the next table waits for its witnesses, and the one before
// is answered under for its grace. Without a round nobody asks after that; a table
// whose own epoch ends while it waits gives way to another.
func TestEpochEndsBeforeItsWitnesses(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "witnesses = 1"), members(50), func(t *testing.T, w *world) {
		cosigner := w.shop.cached().newWitness(t, "witness.example")
		round := func() {
			w.cosign(cosigner)
			must(t, w.server.Tend(t.Context()))
		}
		match := func() error {
			_, _, err := w.shop.matchIn(client.ALearns, "", people(0, 20)...)
			return err
		}
		endOfEpoch := func() {
			end := time.Unix(int64((w.policy.Epoch(time.Now())+1)*w.policy.EpochSeconds), 0)
			time.Sleep(time.Until(end) + time.Minute)
			must(t, w.server.Tend(t.Context()))
		}
		w.publish()
		round()
		old := w.current()
		endOfEpoch()
		must(t, match())
		if w.current() != old {
			t.Error("a table is published without its witnesses")
		}
		time.Sleep(2 * time.Hour)
		must(t, w.server.Tend(t.Context()))
		if err := match(); err == nil {
			t.Error("a table is asked about after its time")
		}
		waiting := w.next()
		endOfEpoch()
		if w.next() == waiting {
			t.Error("a table waits whose epoch is over")
		}
		waiting = w.next()
		round()
		must(t, match())
		if w.current() != waiting {
			t.Error("another table is published than the one that waited")
		}
	})
}

// next is the id of the table that waits for witnesses.
func (w *world) next() [32]byte {
	w.t.Helper()
	id, err := publication.Next(server.TablesDir(w.dir), w.policy.Hash())
	must(w.t, err)
	return id
}

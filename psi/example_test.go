package psi_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
)

// admitted returns the addresses that may be matched, as what goes into the
// protocol. There is no other way to make an Input.
func admitted(addresses ...string) (in []psi.Input) {
	rule := consent.Rule{Classes: []identifier.Class{identifier.EmailUID2}}
	for _, address := range addresses {
		id, err := identifier.EmailUID2.Normalize(address, identifier.Options{})
		check(err)
		eligible, err := rule.Admit(&consent.Record{
			Class: id.Class(), Sum: id.Sum(), Purpose: consent.AdsMatching, Status: consent.Granted, Basis: consent.BasisConsent,
		}, time.Now())
		check(err)
		in = append(in, eligible.Input())
	}
	return in
}

// The whole protocol in its default mode, P_LEARNS: the advertiser is Holder,
// the platform Querier, and only the platform learns who is on both sides. The
// frames go from hand to hand here; package session sends them. Package table
// does the sorting, padding and joining for sets that don't fit into memory.
func Example() {
	customers := admitted("bob@example.com", "Carol.D+news@gmail.com", "dave@example.org")
	accounts := admitted("alice@example.com", "carold@gmail.com", "dave@example.org", "erin@example.net")

	// The advertiser makes a key and, of every customer, a token under it. It
	// adds pads, sorts and commits to the table before it sees a question.
	key, pads := psi.NewKey(), psi.NewSeed()
	defer key.Destroy()
	outputs := make([]psi.Output, len(customers))
	key.Evaluate(outputs, customers)
	var tokens []psi.Token
	for i := range outputs {
		tokens = append(tokens, outputs[i].Token(tokenLen))
	}
	for i := uint64(0); uint64(len(tokens)) < psi.PadSize(uint64(len(customers))); i++ {
		tokens = append(tokens, psi.PadToken(pads, i, tokenLen))
	}
	slices.SortFunc(tokens, func(a, b psi.Token) int { return bytes.Compare(a[:], b[:]) })
	table, commitment := []byte(nil), psi.NewTableHash(tokenLen, 0)
	for _, t := range tokens {
		table = append(table, t[:tokenLen]...)
	}
	check(commitment.Write(table))
	root, entries := commitment.Root()

	// OPEN_Q and OPEN_H are exchanged, signed and checked. Now both know this:
	params := psi.Params{
		SID:        psi.SessionID([]byte("OPEN_Q"), []byte("OPEN_H")),
		ChunkElems: psi.ChunkElems, Window: 4, TokenLen: tokenLen,
		Queries: psi.PadSize(uint64(len(accounts))), Entries: entries, Root: root, Key: key.Public(),
	}
	seed := psi.NewSeed()
	querier, err := psi.NewQuerier(params, seed)
	check(err)
	holder, err := psi.NewHolder(params, key)
	check(err)

	// The platform asks, blinded; the advertiser evaluates and proves; the
	// platform verifies and unblinds.
	queries := make([]psi.Query, len(accounts))
	for i := range accounts {
		queries[i].Input = accounts[i]
	}
	at := map[psi.Token]int{} // position of a query
	for querier.Unblinded() {
		blinded, err := querier.Blind(queries) // one chunk: the rest of it are pads
		check(err)
		evaluated, err := holder.Evaluate(blinded)
		check(err)
		outputs, err := querier.Finalize(evaluated)
		check(err)
		for i := range outputs {
			if !outputs[i].IsZero() {
				at[outputs[i].Token(tokenLen)] = i
			}
		}
	}

	// The platform seals its questions. Only then does the table travel.
	th := querier.Transcript()
	check(querier.Seal(th))
	check(holder.Seal(th))
	frame, err := holder.WriteTable(table)
	check(err)
	read, err := querier.ReadTable(frame)
	check(err)
	var matches []int
	for entry := range slices.Chunk(read, tokenLen) {
		var t psi.Token
		copy(t[:], entry)
		if i, ok := at[t]; ok {
			matches = append(matches, i)
		}
	}

	// Nobody may look before every proof, the order and the root are verified.
	check(querier.Verified())
	slices.Sort(matches)
	fmt.Println("accounts matched:", matches)
	fmt.Println("the advertiser has the same transcript:", holder.Transcript() == querier.Transcript())
	fmt.Println("its key prints as", key)
	// Output:
	// accounts matched: [1 2]
	// the advertiser has the same transcript: true
	// its key prints as REDACTED
}

const tokenLen = 16

func check(err error) {
	if err != nil {
		panic(err)
	}
}

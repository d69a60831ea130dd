package client

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/overlap-psi/overlap/identity"
)

// Budget is what a platform has asked about this advertiser's lists in an epoch.
type Budget struct {
	Platform identity.ID
	Epoch    uint64
	Queries  uint64 // pads included; a session that failed has asked all the same
	Sessions uint64 // that were charged
}

// Budgets returns what the journal in dir, a Config's Dir, holds, by platform and
// then epoch. It changes nothing, and may run while sessions do.
func Budgets(dir string) ([]Budget, error) {
	path := filepath.Join(dir, journalFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("client: journal: there is none in that directory")
	}
	if err != nil {
		return nil, fmt.Errorf("client: journal: %w", err)
	}
	past, _, err := readJournal(bytes.NewReader(text), 1)
	if err != nil {
		return nil, fmt.Errorf("client: journal: %s: %w", path, err)
	}
	type key struct {
		platform identity.ID
		epoch    uint64
	}
	sums := map[key]*Budget{}
	for _, e := range past {
		if e.Nonce != nil || e.Asked > 0 {
			continue
		}
		k := key{e.Platform, e.Epoch}
		if sums[k] == nil {
			sums[k] = &Budget{Platform: e.Platform, Epoch: e.Epoch}
		}
		sums[k].Queries += e.Queries
		sums[k].Sessions++
	}
	list := make([]Budget, 0, len(sums))
	for _, b := range sums {
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Budget) int {
		return cmp.Or(bytes.Compare(a.Platform[:], b.Platform[:]), cmp.Compare(a.Epoch, b.Epoch))
	})
	return list, nil
}

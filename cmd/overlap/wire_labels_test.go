package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
)

// labelOf is what the platform tells of a person, of most at least.
func labelOf(i int) string {
	if i%7 == 0 {
		return ""
	}
	return fmt.Sprintf("planted-label-%d", i)
}

// TestTwentyThousandLabels: 20 000 and 20 000, half in common, with labels. In
// A_LEARNS and MUTUAL_A each row that matched has its account's label and no other
// row is there; in the other modes there are none. No label, of a match or not, is
// on the wire or in a file of either side but the platform's store and the
// advertiser's result, which is its owner's only.
func TestTwentyThousandLabels(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	dir := t.TempDir()
	w := newTellingWorld(t, dir, n, 40)
	l, err := audience.Open(w.list, audience.Options{ListConsent: audience.Granted, Rule: w.conf.Policy.Rule()})
	must(t, err)
	must(t, l.Close())
	everybody := newSearch(t, 0, n+n/2)
	for _, c := range []struct {
		mode client.Mode
		name string
	}{{client.ALearns, ""}, {client.MutualA, "a"}, {client.MutualP, "p"}, {client.PLearns, "default"}} {
		told := c.mode.AdvertiserAsks()
		path := filepath.Join(dir, "matches.csv")
		rows, err := newMatchesFile(path, w.list, l, told)
		must(t, err)
		w.conf.Mode, w.conf.Matched = c.mode, rows.add
		_, capture := w.match(t, c.name)
		must(t, rows.finish())
		rows.close()
		if c.mode != client.PLearns {
			checkLabels(t, c.mode, path, n, told)
		}
		must(t, os.Remove(path))
		everybody.look(t, "the wire", capture)
		seen := map[string][]byte{"the wire": capture}
		for _, name := range filesIn(t, dir, "work", "state") {
			seen[name], err = os.ReadFile(name)
			must(t, err)
		}
		for where, b := range seen {
			if bytes.Contains(b, []byte("planted-label-")) {
				t.Errorf("%v: a label is on %s", c.mode, filepath.Base(where))
			}
		}
	}
}

// checkLabels: rows n/2+1 to n matched.
func checkLabels(t *testing.T, mode client.Mode, path string, n int, told bool) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	must(t, err)
	wrong := 0
	for at, line := range lines[1:] {
		i := n/2 + at
		kind, _ := kindOf(person(i))
		want := []string{strconv.Itoa(i + 1), kind}
		if told {
			want = append(want, labelOf(i))
		}
		if !slices.Equal(line, want) {
			wrong++
		}
	}
	header := []string{"row", "kind", "label"}[:len(lines[0])]
	if wrong > 0 || len(lines) != 1+n/2 || !slices.Equal(lines[0], header) || told != (len(header) == 3) {
		t.Errorf("%v: %d lines, %d of them wrong, under %v", mode, len(lines)-1, wrong, lines[0])
	}
}

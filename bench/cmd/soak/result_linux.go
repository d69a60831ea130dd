package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/overlap-psi/overlap/client"
)

// quarter returns the samples of a quarter, 0 to 3. The first is for warming up.
func quarter(samples []sample, which int) []sample {
	n := len(samples)
	return samples[which*n/4 : (which+1)*n/4]
}

type figure func(sample) float64

func most(of []sample, f figure) float64  { return f(slices.MaxFunc(of, f.compare)) }
func least(of []sample, f figure) float64 { return f(slices.MinFunc(of, f.compare)) }
func (f figure) compare(a, b sample) int  { return cmp.Compare(f(a), f(b)) }
func middle(of []sample, f figure) float64 {
	s := slices.SortedFunc(slices.Values(of), f.compare)
	return (f(s[(len(s)-1)/2]) + f(s[len(s)/2])) / 2
}

// each is what grew with each session, from a quarter's first sample to its last.
func each(of []sample, f figure) float64 {
	first, last := of[0], of[len(of)-1]
	return (f(last) - f(first)) / float64(last.sessions-first.sessions)
}

// line compares the last quarter with the second.
type line struct {
	what         string
	second, last float64
	most         float64 // that the last may have
}

func (l line) grows() bool { return l.last > l.most }

// compare has what must not grow. Memory and the moments at which the system and
// the garbage collector give it back have some play.
func compare(samples []sample) (lines []line) {
	for _, c := range []struct {
		what        string
		of          func([]sample, figure) float64
		f           figure
		times, plus float64 // of the second quarter's
	}{
		{"goroutines, most", most, func(s sample) float64 { return float64(s.goroutines) }, 1, 2},
		{"open files, most", most, func(s sample) float64 { return float64(s.files) }, 1, 2},
		{"resident memory, MiB, median", middle, func(s sample) float64 { return float64(s.resident) / mib }, 1.05, 4},
		{"heap in use, MiB, least", least, func(s sample) float64 { return float64(s.heap) / mib }, 1.05, 1},
		{"files of sessions that have ended, bytes, most", most, func(s sample) float64 { return float64(s.disk.rest) }, 1, 0},
		{"database's write-ahead log, MiB, most", most, func(s sample) float64 { return float64(s.disk.wal) / mib }, 1.25, 4},
		{"database, bytes a session", each, func(s sample) float64 { return float64(s.disk.database) }, 1.1, 0},
		{"log, entries a session", each, func(s sample) float64 { return float64(s.disk.entries) }, 1.1, 0},
	} {
		second := c.of(quarter(samples, 1), c.f)
		lines = append(lines, line{c.what, second, c.of(quarter(samples, 3), c.f), second*c.times + c.plus})
	}
	return lines
}

// expected says where what is meant to grow is not exactly what it should be.
func expected(samples []sample, questions uint64) (wrong []error) {
	for i, s := range samples {
		d := s.disk
		if want := d.kept(questions); d.evidence != want {
			wrong = append(wrong, fmt.Errorf("round %d: evidence takes %d bytes, and %d sessions take %d", i+1, d.evidence, d.sealed, want))
		}
		if want := tiles(d.entries); d.full != want || d.partial > mostPartial {
			wrong = append(wrong, fmt.Errorf("round %d: the log has %d full tiles and %d others, and %d entries make %d", i+1, d.full, d.partial, d.entries, want))
		}
	}
	return wrong
}

// write writes the table and returns what is wrong.
func write(w io.Writer, s *soak, samples []sample) error {
	fmt.Fprintf(w, header, s.accounts, s.partners, s.n)
	for k, n := range s.done {
		fmt.Fprintf(w, "| %s | %d |\n", kindNames[k], n)
	}
	end := samples[len(samples)-1]
	fmt.Fprintf(w, "| sessions, by the server's count: a session that is refused for its policy is one | **%d** |\n\n", end.sessions)

	var wrong []error
	fmt.Fprint(w, "| must not grow | second quarter | last quarter | may be | |\n|---|--:|--:|--:|---|\n")
	for _, l := range compare(samples) {
		verdict := "does not"
		if l.grows() {
			verdict = "**grows**"
			wrong = append(wrong, fmt.Errorf("%s: %.1f in the second quarter, %.1f in the last", l.what, l.second, l.last))
		}
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.1f | %s |\n", l.what, l.second, l.last, l.most, verdict)
	}
	cpu := func(s sample) float64 { return 1e3 * s.cpu.Seconds() }
	fmt.Fprintf(w, "| processor time, ms a session: for information | %.1f | %.1f | | |\n\n", each(quarter(samples, 1), cpu), each(quarter(samples, 3), cpu))

	questions := client.PadSize(uint64(s.accounts))
	wrong = append(wrong, expected(samples, questions)...)
	d := end.disk
	fmt.Fprintf(w, footer, d.sealed, d.evidence, d.kept(questions), d.entries, d.full, tiles(d.entries), d.partial, mostPartial, d.logs, d.database)
	return errors.Join(wrong...)
}

const header = `One ` + "`overlap serve`" + ` with %d accounts in SQLite, and %d advertisers at once with %d identifiers each, in all four modes; the advertisers are
package client in one process, each session on a connection of its own. After each round of visits the server comes to rest and is looked at.
Exact: the rows that an advertiser is told, in every session that completes; the audiences at the end.

| visits | |
|---|--:|
`

const footer = `| grows, and should | at the end | has to be |
|---|--:|---|
| evidence of %d sealed sessions, bytes | %d | %d: 72 a question, 132 a chunk, the receipts |
| full tiles of the log, of %d entries | %d | %d: one of each 256 entries, and of each 256 hashes |
| other tiles of the log | %d | at most %d: they go when they are full |
| all logs, bytes | %d | |
| database, bytes | %d | as much a session in the last quarter as in the second: above |

Evidence and log are compared with what they have to be after every round, to the byte and the tile: that is how their growth is taken out.
Evidence stays for the policy's retention_days, and is of sessions in which the platform asked and that were sealed. heap in use is what the
garbage collector found when it last ran, when sessions may have run, too: so the least of a quarter counts.
`

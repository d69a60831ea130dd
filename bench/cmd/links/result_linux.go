package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/bench/link"
)

// parseShapes reads wires such as 20/80/1: Mbit/s, round trip in ms, loss in
// percent.
func parseShapes(list string) (shapes []link.Shape, err error) {
	for _, word := range strings.Split(list, ",") {
		var figures []float64
		for _, part := range strings.Split(word, "/") {
			f, err := strconv.ParseFloat(part, 64)
			if err != nil {
				return nil, fmt.Errorf("-links: %w", err)
			}
			figures = append(figures, f)
		}
		if len(figures) == 2 {
			figures = append(figures, 0)
		}
		if len(figures) != 3 || !(figures[0] >= 0.001) || !(figures[1] >= 0 && figures[1] <= 60_000) || !(figures[2] >= 0 && figures[2] < 100) {
			return nil, errors.New("-links: a wire is Mbit/s, round trip in ms, loss in percent: 20/80/1")
		}
		shapes = append(shapes, link.Shape{Rate: int64(figures[0] * 1e6), RoundTrip: time.Duration(figures[1] * float64(time.Millisecond)), Loss: figures[2] / 100})
	}
	return shapes, nil
}

func name(s link.Shape) string {
	if s.Rate == 0 {
		return "none (loopback)"
	}
	text := fmt.Sprintf("%g Mbit/s, %g ms", float64(s.Rate)/1e6, s.RoundTrip.Seconds()*1e3)
	if s.Loss > 0 {
		text += fmt.Sprintf(", %g %% loss", s.Loss*100)
	}
	return text
}

// result is what one session took.
type result struct {
	n                int
	shape            link.Shape // zero: no wire
	wall             time.Duration
	took             time.Duration // of the session alone, from HELLO to its end
	wait             time.Duration // of that, for the release
	opened           time.Duration // of that, before it was opened
	own              time.Duration // processor time of the wire
	queries, entries uint64
	up, down         way
	lost, dropped    uint64        // packets
	processors       time.Duration // the session without a wire, and without its wait
}

// way is one direction of a session.
type way struct {
	bytes         uint64  // of IP, that arrived
	alone, atOnce float64 // bits a second that a plain copy reached, this way alone, and both ways at once
}

// at is how long that takes at so many bits a second.
func (w way) at(rate float64) time.Duration {
	return time.Duration(float64(w.bytes) * 8 / rate * float64(time.Second))
}

// alone and atOnce are how long plain copies take for as many bytes.
func (r *result) alone() time.Duration { return max(r.up.at(r.up.alone), r.down.at(r.down.alone)) }

func (r *result) atOnce() time.Duration { return max(r.up.at(r.up.atOnce), r.down.at(r.down.atOnce)) }

// worked is the session without the wait, which nothing makes shorter.
func (r *result) worked() time.Duration { return r.took - r.wait }

// share is the session's throughput as a share of the lesser of what the wire and
// the processors allow: the session might have been as short as the longer of the
// two.
func (r *result) share(wire time.Duration) float64 {
	return max(r.processors, wire).Seconds() / r.worked().Seconds()
}

// alongside is share if the wire were not emulated on the processors of the two
// companies, which a wire of one's own is not.
func (r *result) alongside(wire time.Duration) float64 {
	left := r.processors + r.own/time.Duration(runtime.NumCPU())
	return max(left, wire).Seconds() / r.worked().Seconds()
}

func write(w io.Writer, n int, results []*result) {
	fmt.Fprintf(w, header, n)
	for _, r := range results {
		io.WriteString(w, r.row())
	}
	io.WriteString(w, footer)
}

const header = `Two processes of ` + "`overlap`" + ` in two networks of this machine, %d identifiers each, half in common; mutual TLS 1.3, every proof made and
checked. Exact: every audience was compared with the accounts in common. Wanted: 85 %% of the lesser of what the wire and the processors allow.

| wire | command, s | session, s | its wait, s | without, s | opened after, s | up, MB | down, MB | up, Mbit/s | down, Mbit/s | copy: up, down | both at once | copy allows, s | both at once, s | processors, s | of a copy | of both at once | and without the wire's CPU | lost, dropped | wire's CPU, s |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
`

const footer = `
- command: the advertiser's, from start to end, with the reading of its list. session: from HELLO to the end, by the platform's log.
- its wait: RELEASE goes at the first full second at or after the end of the table + 1 s + (q̂+n̂)·5 µs (PROTOCOL.md §8.5), a constant of the
  protocol that hides how long the platform looks for matches; counted from when the last of the table was in. without: the session without its
  wait, which is what the rest of the line is about.
- opened after: from HELLO to the first question: the platform cuts its snapshot and puts it on record, and the wire idles.
- up: from the advertiser to the platform, answers and table; down: questions. MB of IP packets that arrived, acknowledgements and what was sent
  again included. Mbit/s: these over the session without its wait.
- copy: Mbit/s that a plain copy of as many bytes over mutual TLS reaches on the same wire, one way and then the other; both at once: the two of them
  together, as in a session, so that each way's acknowledgements wait in the other's queue. Losses and TCP's slow start are in both.
- copy allows, both at once: the bytes over these rates, of the slower way. processors: the session without a wire and without its wait.
- of a copy, of both at once: the longer of what the wire and the processors take, over the session. No session reaches all of it: until it is
  opened the wire idles, then the advertiser until the first chunk is there, and little is sent in five round trips.
- lost: packets of the session, by chance; dropped: for want of room in the queue, which holds one round trip's worth. wire's CPU: the processor time
  of the emulator, which the two companies' processes do not get; and without it: had they got that, shared among the cores.
`

func (r *result) row() string {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
	cells := []string{name(r.shape), seconds(r.wall), seconds(r.took), seconds(r.wait), seconds(r.worked()), seconds(r.opened)}
	if r.shape.Rate == 0 {
		// One interface, which both directions go through.
		cells = append(append(cells, fmt.Sprintf("%.1f both", float64(r.up.bytes)/1e6)), make([]string, 13)...)
		return "| " + strings.Join(cells, " | ") + " |\n"
	}
	mega := func(b float64) string { return fmt.Sprintf("%.2f", b/1e6) }
	over := func(w way) string { return mega(float64(w.bytes) * 8 / r.worked().Seconds()) }
	cells = append(cells, mega(float64(r.up.bytes)), mega(float64(r.down.bytes)), over(r.up), over(r.down),
		mega(r.up.alone)+", "+mega(r.down.alone), mega(r.up.atOnce)+", "+mega(r.down.atOnce),
		seconds(r.alone()), seconds(r.atOnce()), seconds(r.processors),
		fmt.Sprintf("**%.0f %%**", 100*r.share(r.alone())), fmt.Sprintf("%.0f %%", 100*r.share(r.atOnce())), fmt.Sprintf("%.0f %%", 100*r.alongside(r.atOnce())),
		fmt.Sprintf("%d, %d", r.lost, r.dropped), seconds(r.own))
	return "| " + strings.Join(cells, " | ") + " |\n"
}

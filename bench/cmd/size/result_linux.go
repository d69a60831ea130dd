package main

import (
	"fmt"
	"time"
)

// result is what one session took.
type result struct {
	n         int
	padded    uint64 // pairs, pads among them
	load      time.Duration
	wall      time.Duration
	platform  usage
	advertise usage
	wire      uint64 // bytes over the loopback interface: TCP, IP and TLS included
	disk      uint64 // most bytes that both companies' files took, without what there was before
}

// usage is what one company's process took.
type usage struct {
	cpu  time.Duration
	peak uint64 // highest resident memory, bytes
}

const header = `Two processes of ` + "`overlap`" + `, one for each company, on this machine's cores; mutual TLS 1.3, every proof made and checked, half in common. Exact: every
audience was compared with the accounts in common. Wanted: 1,000,000 in 40 s and 256 MiB a process, 10,000,000 in 6 min and 512 MiB.

| identifiers each | seconds | import, s | CPU µs a pair | µs a further pair | platform CPU s | advertiser CPU s | platform MiB | advertiser MiB | bytes a pair | disk, bytes a pair |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
`

const footer = `
seconds: the advertiser's command from start to end, file reading and the release's wait included. import: the platform's users into its
store, before. CPU: both processes'. A further pair: what that is more than in the first line's session, for each pair more, with the pads of
both sets (PROTOCOL.md §7.2): a session takes a tenth of a second whatever its size, and up to a quarter of what it carries are pads. Wanted:
flat within 20 %. MiB: highest resident memory of the process. bytes: on the wire, everything included. disk: the most that the files of
both took at once, without what there was before the match; 72 bytes of it, the evidence, and the audience stay.
`

func (r *result) cpu() time.Duration { return r.platform.cpu + r.advertise.cpu }

// row is a line of the table, in which first has been the first.
func (r *result) row(first *result) string {
	more := ""
	if r.padded > first.padded {
		more = fmt.Sprintf("%.1f", micros(r.cpu()-first.cpu())/float64(r.padded-first.padded))
	}
	return fmt.Sprintf("| %d | %.1f | %.1f | %.1f | %s | %.1f | %.1f | %d | %d | %.1f | %.1f |\n",
		r.n, r.wall.Seconds(), r.load.Seconds(), micros(r.cpu())/float64(r.n), more,
		r.platform.cpu.Seconds(), r.advertise.cpu.Seconds(), r.platform.peak>>20, r.advertise.peak>>20,
		float64(r.wire)/float64(r.n), float64(r.disk)/float64(r.n))
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

package main

import (
	"fmt"
	"time"
)

// result is what one session took.
type result struct {
	n         int
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

| identifiers each | seconds | import, s | CPU µs a pair | platform CPU s | advertiser CPU s | platform MiB | advertiser MiB | bytes a pair | disk, bytes a pair |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
`

const footer = `
seconds: the advertiser's command from start to end, file reading and the release's wait included. import: the platform's users into its
store, before. MiB: highest resident memory of the process. bytes: on the wire, everything included. disk: the most that the files of
both took at once, without what there was before the match; 72 bytes of it, the evidence, and the audience stay.
`

func (r *result) row() string {
	cpu := r.platform.cpu + r.advertise.cpu
	return fmt.Sprintf("| %d | %.1f | %.1f | %.1f | %.1f | %.1f | %d | %d | %.1f | %.1f |\n",
		r.n, r.wall.Seconds(), r.load.Seconds(), float64(cpu.Nanoseconds())/1e3/float64(r.n),
		r.platform.cpu.Seconds(), r.advertise.cpu.Seconds(), r.platform.peak>>20, r.advertise.peak>>20,
		float64(r.wire)/float64(r.n), float64(r.disk)/float64(r.n))
}

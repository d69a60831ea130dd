package link

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

// Meter looks at what a device receives, often, and so knows when it last received
// much: when a transfer was over, although the connection goes on.
type Meter struct {
	stop, done chan struct{}
	begun      time.Time
	total      uint64
	busy       time.Time
	err        error
}

// How often a meter looks, and how much has to come between two looks for a
// transfer to be under way: less are acknowledgements, pings and signatures.
const (
	meterEvery = 5 * time.Millisecond
	meterMuch  = 4096
)

// Watch starts to look at a device of a network.
func (n *Namespace) Watch(device string) *Meter {
	m := &Meter{stop: make(chan struct{}), done: make(chan struct{}), begun: time.Now()}
	go func() {
		defer close(m.done)
		m.err = n.Do(func() error { return m.look(device) })
	}()
	return m
}

// Stop ends it and returns how many bytes the device has received, and when it
// last received much.
func (m *Meter) Stop() (bytes uint64, busy time.Time, err error) {
	close(m.stop)
	<-m.done
	return m.total, m.busy, m.err
}

func (m *Meter) look(device string) error {
	first, err := received(device)
	if err != nil {
		return err
	}
	tick := time.NewTicker(meterEvery)
	defer tick.Stop()
	for last := first; ; {
		now, err := received(device)
		if err != nil {
			return err
		}
		if now-last >= meterMuch {
			m.busy = time.Now()
		}
		m.total, last = now-first, now
		select {
		case <-m.stop:
			return nil
		case <-tick.C:
		}
	}
}

// received is what a device of this thread's network has received, in bytes.
func received(device string) (bytes uint64, err error) {
	f, err := os.Open("/proc/thread-self/net/dev")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, figures, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if ok && name == device {
			_, err := fmt.Sscan(figures, &bytes)
			return bytes, err
		}
	}
	return 0, fmt.Errorf("link: no device %s", device)
}

package link

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"testing"
	"time"
)

// wire lays a link between two new networks, where this process may.
func wire(t *testing.T, s Shape) (a, b *Namespace, l *Link) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("networks are root's to make")
	}
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no /dev/net/tun")
	}
	names := [2]*Namespace{}
	for i := range names {
		n, err := NewNamespace(t.Context(), fmt.Sprintf("overlap-test-%d-%d", os.Getpid(), i))
		if err != nil {
			t.Skip("networks can't be made here:", err)
		}
		t.Cleanup(func() {
			if err := n.Remove(); err != nil {
				t.Error(err)
			}
		})
		if err := n.Tune(""); err != nil {
			t.Fatal(err)
		}
		names[i] = n
	}
	l, err := New(t.Context(), names[0], names[1], s, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return names[0], names[1], l
}

// transfer sends n bytes from a to b over TCP and returns how long it took, and
// when a meter at b saw the end.
func transfer(t *testing.T, a, b *Namespace, n int64) (took time.Duration, seen time.Duration) {
	t.Helper()
	var listener net.Listener
	var sender net.Conn
	if err := b.Do(func() (err error) { listener, err = net.Listen("tcp", AddressB+":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := a.Do(func() (err error) { sender, err = net.Dial("tcp", listener.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	receiver, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	meter := b.Watch(Device)
	started := time.Now()
	go func() {
		_, _ = sender.Write(make([]byte, n)) // the receiver notices
	}()
	if _, err := io.CopyN(io.Discard, receiver, n); err != nil {
		t.Fatal(err)
	}
	took = time.Since(started)
	time.Sleep(100 * time.Millisecond)
	total, busy, err := meter.Stop()
	if err != nil || total < uint64(n) {
		t.Errorf("the meter has counted %d bytes of %d: %v", total, n, err)
	}
	return took, busy.Sub(started)
}

// TCP reaches the rate and not more, after the round trip.
func TestTransfer(t *testing.T) {
	s := Shape{Rate: 20e6, RoundTrip: 40 * time.Millisecond}
	a, b, l := wire(t, s)
	const n = 2_500_000 // a second
	took, seen := transfer(t, a, b, n)
	if took < time.Second || took > 3*time.Second {
		t.Errorf("%d bytes at %d Mbit/s took %v", n, s.Rate/1e6, took)
	}
	if d := (took - seen).Abs(); d > 100*time.Millisecond {
		t.Errorf("the meter saw the end after %v, it was after %v", seen, took)
	}
	if l.AB.Bytes.Load() < n || l.AB.Lost.Load() != 0 || l.BA.Bytes.Load() == 0 {
		t.Errorf("%d bytes one way, %d back, %d lost", l.AB.Bytes.Load(), l.BA.Bytes.Load(), l.AB.Lost.Load())
	}
}

// What gets lost is sent again.
func TestTransferWithLoss(t *testing.T) {
	a, b, l := wire(t, Shape{Rate: 50e6, RoundTrip: 2 * time.Millisecond, Loss: 0.02})
	transfer(t, a, b, 2_500_000)
	packets, lost := l.AB.Packets.Load(), l.AB.Lost.Load()
	if share := float64(lost) / float64(packets+lost); share < 0.01 || share > 0.03 {
		t.Errorf("%d packets of %d were lost", lost, packets+lost)
	}
}

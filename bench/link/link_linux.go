package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses at the two ends.
const (
	AddressA = "10.83.0.1"
	AddressB = "10.83.0.2"
	Device   = "wire0" // at both
)

// Link is a wire between two networks.
type Link struct {
	AB, BA Traffic
	ends   [2]*os.File
	wait   sync.WaitGroup
}

// Traffic is what one direction has carried. It may be read at any time.
type Traffic struct {
	Bytes, Packets atomic.Uint64 // that arrived, of IP
	Lost           atomic.Uint64 // packets: by chance
	Dropped        atomic.Uint64 // packets: the queue was full
}

// New lays a wire between two networks. The seed says which packets get lost. The
// caller closes it.
func New(ctx context.Context, a, b *Namespace, s Shape, seed uint64) (*Link, error) {
	l := new(Link)
	var err error
	if l.ends[0], err = end(ctx, a, AddressA); err != nil {
		return nil, err
	}
	if l.ends[1], err = end(ctx, b, AddressB); err != nil {
		return nil, errors.Join(err, l.ends[0].Close())
	}
	start := time.Now()
	l.carry(start, l.ends[0], l.ends[1], newLane(s, seed), &l.AB)
	l.carry(start, l.ends[1], l.ends[0], newLane(s, seed+1), &l.BA)
	return l, nil
}

// Close takes the wire away, and with it the devices.
func (l *Link) Close() error {
	err := errors.Join(l.ends[0].Close(), l.ends[1].Close())
	l.wait.Wait()
	return err
}

// end makes a device in a network: what is sent to it comes out of the file.
func end(ctx context.Context, n *Namespace, address string) (f *os.File, err error) {
	if err := n.Do(func() error {
		f, err = tun()
		return err
	}); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"addr", "add", address + "/24", "dev", Device},
		// The queue is the lane's, and the kernel's in front of it has to be without loss.
		{"link", "set", Device, "mtu", fmt.Sprint(mtu), "txqueuelen", "10000", "up"},
	} {
		if err := ip(ctx, append([]string{"-n", n.name}, args...)...); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// tun opens a TUN device, which goes with its file.
func tun() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("link: /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(Device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI) // packets of IP, and nothing before them
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("link: TUN device: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), Device), nil // not blocking, so that Close ends a Read
}

// packet is on its way.
type packet struct {
	at    time.Duration
	bytes []byte
}

// carry carries one direction until an end is closed. A wire holds a queue and a
// round trip's worth of packets; of the smallest, which take their time, too, there
// are as many as the channel has room for.
func (l *Link) carry(start time.Time, from, to *os.File, lane *lane, t *Traffic) {
	under := make(chan packet, 1<<15)
	l.wait.Go(func() {
		defer close(under)
		for buf := make([]byte, 2*mtu); ; {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			switch at, f := lane.send(time.Since(start), n); f {
			case arrives:
				under <- packet{at, append([]byte(nil), buf[:n]...)}
			case lost:
				t.Lost.Add(1)
			case dropped:
				t.Dropped.Add(1)
			}
		}
	})
	l.wait.Go(func() {
		for p := range under {
			time.Sleep(p.at - time.Since(start))
			if _, err := to.Write(p.bytes); err != nil {
				continue // the device is gone, and the reader is about to end, too
			}
			t.Packets.Add(1)
			t.Bytes.Add(uint64(len(p.bytes)))
		}
	})
}

package link

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network of its own, with a loopback interface.
type Namespace struct{ name string }

// NewNamespace makes a network of that name. The caller removes it.
func NewNamespace(ctx context.Context, name string) (*Namespace, error) {
	n := &Namespace{name}
	if err := ip(ctx, "netns", "add", name); err != nil {
		return nil, err
	}
	return n, ip(ctx, "-n", name, "link", "set", "lo", "up")
}

// Remove removes the network once nobody is in it any more.
func (n *Namespace) Remove() error {
	return ip(context.Background(), "netns", "delete", n.name)
}

// Command is what a command begins with that is to run in the network. It
// yields to this process, which is the wire: a wire waits for nobody.
func (n *Namespace) Command() []string {
	return []string{"nice", "-n", "15", "ip", "netns", "exec", n.name}
}

// Do runs f with this network as its own. What f opens stays there; goroutines
// that it starts are not in it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// A thread that could not come home must not be used again: it ends with
		// this goroutine, unless it is unlocked.
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		if err := enter(filepath.Join("/run/netns", n.name)); err != nil {
			done <- err
			return
		}
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func enter(path string) error {
	there, err := os.Open(path)
	if err != nil {
		return err
	}
	defer there.Close()
	return os.NewSyscallError("setns", unix.Setns(int(there.Fd()), unix.CLONE_NEWNET))
}

// Tune sets how TCP holds back where packets get lost, in the kernel's word, such
// as cubic or bbr; empty leaves the system's. Nothing is remembered of one
// connection for the next, so that each measurement begins alike.
func (n *Namespace) Tune(congestion string) error {
	return n.Do(func() error {
		if congestion != "" {
			if err := os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(congestion), 0); err != nil {
				return err
			}
		}
		return os.WriteFile("/proc/sys/net/ipv4/tcp_no_metrics_save", []byte("1"), 0)
	})
}

// Congestion is the kernel's word for how TCP holds back here.
func (n *Namespace) Congestion() (word string, err error) {
	err = n.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
		word = strings.TrimSpace(string(text))
		return err
	})
	return word, err
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

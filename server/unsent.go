//go:build linux || darwin

package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes wait in a connection's buffer that the system has not
// sent yet.
const unsent = 128 << 10

// sendPromptly keeps the system from taking megabytes that a link needs seconds for.
// HTTP/2 says in the same connection what it has read, by which the peer knows that
// it may go on: behind so much that comes too late, unless windows are as large as
// such a buffer. What is on its way is not bounded: the system finds out how much
// fits. Where the option is missing, far links are slower.
func sendPromptly(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		})
	}
}

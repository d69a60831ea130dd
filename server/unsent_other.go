//go:build !linux && !darwin

package server

import "net"

// sendPromptly does nothing: the system has no such option.
func sendPromptly(net.Conn) {}

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// checkAddress refuses what is no HOST:PORT.
func checkAddress(flag, address string) error {
	host, port, err := net.SplitHostPort(address)
	wrong := func(why string) error {
		return usageError{fmt.Errorf("%s %s %s: write HOST:PORT, such as ads.example:8443", flag, strconv.Quote(address), why)}
	}
	switch {
	case strings.Contains(address, "/"):
		return wrong("is no address of a host")
	case err != nil && strings.Count(address, ":") > 1 && !strings.Contains(address, "["):
		return wrong("has several colons; an IPv6 address stands in brackets, as in [::1]:8443")
	case err != nil || port == "":
		return wrong("has no port")
	case host == "":
		return wrong("has no host")
	}
	return checkPort(flag, port)
}

// checkListen refuses an address that nobody can listen on; without a host it is
// all of this machine's.
func checkListen(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil && port != "" {
		return checkPort(flag, port)
	}
	if _, e := strconv.ParseUint(address, 10, 16); e == nil {
		return usageError{fmt.Errorf("%s %s is a port without its colon: write :%s for all addresses of this machine, or HOST:%s", flag, address, address, address)}
	}
	return usageError{fmt.Errorf("%s %s has no port: write HOST:PORT, or :PORT for all addresses of this machine", flag, strconv.Quote(address))}
}

func checkPort(flag, port string) error {
	if _, err := net.LookupPort("tcp", port); err != nil {
		return usageError{fmt.Errorf("%s: %s is no port: one is a number from 1 to 65535", flag, strconv.Quote(port))}
	}
	return nil
}

// listen listens on an address, which is looked at before a command makes or
// changes anything.
func listen(flag, address string) (net.Listener, error) {
	if err := checkListen(flag, address); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, cannotListen(flag, address, err)
	}
	return l, nil
}

// cannotListen says in words why nobody can listen on an address.
func cannotListen(flag, address string, err error) error {
	why := err
	var call *net.OpError
	if errors.As(err, &call) {
		why = call.Err
	}
	var system *os.SyscallError
	if errors.As(err, &system) {
		why = system.Err
	}
	err = fmt.Errorf("%s %s: %w", flag, address, why)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return hint(err, "another program, or another server of Overlap, listens there: stop it, or choose another port")
	case errors.Is(err, syscall.EACCES):
		return hint(err, "ports below 1024 are the system's: choose one above, such as 8443, or give the program CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hint(err, "it is no address of this machine: use one of its own, or :PORT for all of them")
	}
	return hint(err, "use an address of this machine, or :PORT for all of them")
}

package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/overlap-psi/overlap/dossier"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"overlap": main, "overlap-verify": func() { os.Exit(dossier.Command(os.Args[1:], os.Stdout, os.Stderr)) }})
}

// TestScripts runs the stories in testdata: whole binaries, real files, real TLS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeaddr": freeAddress,
			"await":    await,
			"env-file": envFile,
			"exitcode": exitCode,
			"retry":    retry,
			"hangup":   hangUp,
			"gen":      generate,
			"long":     long,

			"listen":      listenAs,
			"certificate": certificate,
		},
	})
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// freeAddress sets a variable to a loopback address that nobody listens on.
func freeAddress(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// await waits until somebody listens on an address.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", args[0])
		if err == nil {
			ts.Check(conn.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody listens on %s: %v", args[0], err)
		}
	}
}

// envFile sets a variable to a file's first line.
func envFile(ts *testscript.TestScript, _ bool, args []string) {
	var line string
	if _, err := fmt.Sscan(ts.ReadFile(args[1]), &line); err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	ts.Setenv(args[0], line)
}

// exitCode runs a command and wants that exit status.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	if got := exitStatusOf(ts, args[1:]); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// hangUp sends SIGHUP to what runs in the background.
func hangUp(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGHUP))
	}
}

// retry runs a command until it has that exit status: what it waits for takes a
// moment in another process, which may look every few seconds only.
func retry(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		got := exitStatusOf(ts, args[1:])
		if got == args[0] {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("exit status stays %s, want %s", got, args[0])
		}
	}
}

func exitStatusOf(ts *testscript.TestScript, command []string) string {
	err := ts.Exec(command[0], command[1:]...)
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		return fmt.Sprint(exit.ExitCode())
	}
	ts.Check(err)
	return "0"
}

// long writes a file of two lines: a consent string that never ends, and a short
// one.
func long(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		ts.Fatalf("%v", err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("C"+strings.Repeat("A", n)+"\n1YNN"), 0o600))
}

// generate writes a customers file of n rows and a users file of n accounts, half
// of them the same people.
func generate(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[0], &n); err != nil {
		ts.Fatalf("%v", err)
	}
	customers, err := os.Create(ts.MkAbs("customers.csv"))
	ts.Check(err)
	fmt.Fprintln(customers, "email")
	users, err := os.Create(ts.MkAbs("users.csv"))
	ts.Check(err)
	fmt.Fprintln(users, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
	for i := range n {
		fmt.Fprintf(customers, "person%d@mail.example\n", i)
		j := i + n/2
		fmt.Fprintf(users, "u%d,email,person%d@mail.example,ads_matching,granted,US,2026-01-02\n", j, j)
	}
	ts.Check(customers.Close())
	ts.Check(users.Close())
}

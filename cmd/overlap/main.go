// Overlap matches an advertiser's list of customers with a platform's consented
// accounts, without either showing the other the rest.
//
// Where text goes: results to standard output; progress, what is about to be
// disclosed, errors and hints to standard error. Exit status: 0 done, 1 the work
// failed, 2 wrong usage, 3 refused by policy.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/overlap-psi/overlap/internal/sentence"
)

// Exit statuses. They are part of the interface.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

var commands struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Demo demoCommands `cmd:"" help:"Run both companies on this machine, with made-up files and real TLS."`

	Normalize normalizeCommand `cmd:"" group:"Advertiser" help:"Show how e-mails, phones or hashes are normalised, one JSON object a line."`
	Validate  validateCommand  `cmd:"" group:"Advertiser" help:"Read a customer file and count what would be matched. Nothing leaves this machine."`
	Match     matchCommand     `cmd:"" group:"Advertiser" help:"Match a customer file with a platform."`

	Ledger   ledgerCommand   `cmd:"" group:"Platform" help:"The platform's users and what they consented to."`
	Table    tableCommand    `cmd:"" group:"Platform" help:"The tables that a platform publishes, for advertisers to ask about."`
	Serve    serveCommand    `cmd:"" group:"Platform" help:"Run the matching server."`
	Audience audienceCommand `cmd:"" group:"Platform" help:"The audiences that matches have filled."`
	Audit    auditCommand    `cmd:"" group:"Both" help:"Who was affected, and how many: answers, and what proves them."`

	Policy  policyCommand  `cmd:"" group:"Both" help:"The document that both companies hold: who may be matched, who learns what, and what that costs in privacy."`
	Budget  budgetCommand  `cmd:"" group:"Both" help:"What has been asked and told in each epoch, and what is left."`
	Consent consentCommand `cmd:"" group:"Both" help:"Consent strings and what they mean."`
	Keygen  keygenCommand  `cmd:"" group:"Both" help:"Make a company's identity and TLS certificate."`
	Receipt receiptCommand `cmd:"" group:"Both" help:"The evidence of a session that both companies signed."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run is main with its exit status returned, so that tests can call it.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exited := -1
	parser, err := kong.New(&commands,
		kong.Name("overlap"),
		kong.Description("Two companies find which people they both know, without showing each other the rest,\nand only people whose consent is on record."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Vars{"version": version()},
	)
	if err != nil {
		panic(err) // the commands above are wrong
	}
	call, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err == nil {
		err = once(call)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "overlap: error: %v\n", err)
		fmt.Fprintln(os.Stderr, "overlap: hint: overlap --help lists the commands, overlap COMMAND --help their flags")
		return exitUsage
	}
	return report(call.Run())
}

// once refuses a flag of one value that is given twice. The parser takes the last of
// them, but of the names of files the first.
func once(call *kong.Context) error {
	given := map[*kong.Flag]bool{}
	for _, p := range call.Path {
		switch {
		case p.Flag == nil || p.Flag.IsCumulative():
		case given[p.Flag]:
			return fmt.Errorf("%s is given twice: which of the two is meant?", "--"+p.Flag.Name)
		default:
			given[p.Flag] = true
		}
	}
	return nil
}

// version is what the Go toolchain knows of this build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "overlap (unknown build)"
	}
	text := "overlap " + info.Main.Version + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += " " + s.Value
		}
	}
	return text
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func hint(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, a...)}
}

// report prints an error and returns the exit status it stands for.
func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "overlap: error: %v\n", plain(err))
	if text := advice(err); text != "" {
		fmt.Fprintf(os.Stderr, "overlap: hint: %s\n", text)
	}
	return exitStatus(err)
}

// plain is an error as a person reads it.
func plain(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return sentence.Of(err)
}

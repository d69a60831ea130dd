package dossier

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/sentence"
)

const usage = `usage: overlap-verify --platform ID [--advertiser ID]… [--checkpoint FILE]… [--challenge FILE]… [--json] FILE

Checks an evidence file. ID is what the company gave you, 64 hexadecimal digits.
With --advertiser, no session with another advertiser passes. A checkpoint is an
older one of the platform's log, that you or somebody you trust has kept. A
challenge is one that you drew: the platform has to have answered that one.

Exit status: 0 everything checked is as it should be; 1 something is not; 2 nothing
was checked: wrong usage, or a file that can't be read or is not an evidence file of
that platform.
`

// Command is the program overlap-verify: it checks the file that the arguments
// name and returns the exit status.
func Command(args []string, stdout, stderr io.Writer) int {
	trust, asJSON, file, err := parseArgs(args)
	if err == flag.ErrHelp {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "overlap-verify: error: %s\n%s", sentence.Of(err), usage)
		return 2
	}
	report, err := verifyFile(file, trust)
	if err != nil {
		fmt.Fprintf(stderr, "overlap-verify: error: %s\n", sentence.Of(err))
		return 2
	}
	if asJSON {
		err = json.NewEncoder(stdout).Encode(report)
	} else {
		err = show(stdout, report)
	}
	if err != nil {
		fmt.Fprintf(stderr, "overlap-verify: error: %s\n", sentence.Of(err))
		return 2
	}
	if report.Err() != nil {
		return 1
	}
	return 0
}

func parseArgs(args []string) (trust *Trust, asJSON bool, file string, err error) {
	trust = new(Trust)
	flags := flag.NewFlagSet("overlap-verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&asJSON, "json", false, "")
	flags.Func("platform", "", func(s string) error { return trust.Platform.UnmarshalText([]byte(s)) })
	flags.Func("advertiser", "", func(s string) error {
		var id identity.ID
		err := id.UnmarshalText([]byte(s))
		trust.Advertisers = append(trust.Advertisers, id)
		return err
	})
	flags.Func("checkpoint", "", func(s string) error {
		signed, err := os.ReadFile(s)
		trust.Checkpoints = append(trust.Checkpoints, signed)
		return err
	})
	flags.Func("challenge", "", func(s string) error {
		file, err := os.ReadFile(s)
		if err != nil {
			return err
		}
		c, err := evidence.ParseChallenge(file)
		trust.Challenges = append(trust.Challenges, c)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return nil, false, "", err
	}
	switch {
	case trust.Platform == identity.ID{}:
		return nil, false, "", errors.New("whose evidence is it? give --platform, the id that the platform gave you")
	case flags.NArg() != 1:
		return nil, false, "", errors.New("name one file")
	}
	return trust, asJSON, flags.Arg(0), nil
}

func verifyFile(name string, trust *Trust) (*Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	about, err := f.Stat()
	if err != nil {
		return nil, err
	}
	report, err := Verify(f, about.Size(), trust)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return report, nil
}

// show prints a report for people. A bufio.Writer is not worth it.
func show(w io.Writer, r *Report) error {
	c := r.Contents
	fmt.Fprintf(w, "Evidence of platform %s, made %s\n\n", c.Platform, c.Made.UTC().Format("2006-01-02 15:04 UTC"))
	for _, check := range r.Checks {
		if check.Problem == "" {
			fmt.Fprintf(w, "  ok      %s\n", check.What)
		} else {
			fmt.Fprintf(w, "  FAILED  %s\n          %s\n", check.What, check.Problem)
		}
	}
	fmt.Fprintf(w, "\n%d sessions, %d entries in the log.\n", len(c.Sessions), c.Entries)
	for _, a := range r.Audits {
		fmt.Fprintf(w, "Session %.12s: of %d positions, %d were drawn: %d consented records, %d nobody, %d erased, %d bad; one bad in a thousand would have been found with %.1f %%.\n",
			a.Session, a.Size, a.Drawn, a.Records, a.Pads, a.Erased, len(a.Bad), 100*a.Detects(0.001))
		switch a.ErasedBy {
		case evidence.ByCheckpoint:
			fmt.Fprintln(w, "  That the erased were erased before the draw is shown by the checkpoint in the challenge, if that is the one that was drawn (--challenge).")
		case evidence.ByLogTime:
			fmt.Fprintln(w, "  That the erased were erased before the draw is the platform's word: it writes the log's times.")
		}
	}
	if i := c.Incident; i != nil {
		fmt.Fprintf(w, "Affected by %q: %d accounts exposed, %d matched.\n", i.Predicate, i.Exposed, i.Matched)
	}
	var err error
	if r.Err() != nil {
		_, err = fmt.Fprintln(w, "\nThis file does NOT show what it says.")
	} else {
		_, err = fmt.Fprintln(w, "\nEverything checked is as the file says.")
	}
	return err
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/overlap-psi/overlap/consent/signal"
)

type consentCommand struct {
	Decode consentDecode `cmd:"" help:"Say what TCF, GPP and US Privacy strings mean for a match, one JSON object a line."`
}

// vendorFlag and purposesFlag say what a TCF string is asked. The command sets what
// no vendor and no purposes mean for it, each in the one `set` that a tag has.
type vendorFlag struct {
	Vendor int `help:"The platform's id in IAB Europe's Global Vendor List. ${no_vendor}"`
}

type purposesFlag struct {
	Purposes []int `placeholder:"3,4" help:"The TCF purposes that need consent. ${no_purposes}"`
}

// override puts what the flags say in place of a policy's terms.
func override(t *signal.Terms, v vendorFlag, p purposesFlag) error {
	if v.Vendor != 0 {
		t.Vendor = v.Vendor
	}
	if p.Purposes != nil {
		t.Purposes = p.Purposes
	}
	if err := (signal.Terms{Vendor: v.Vendor}).Check(); err != nil {
		return usageError{fmt.Errorf("--vendor: %w", err)}
	}
	if err := (signal.Terms{Purposes: p.Purposes}).Check(); err != nil {
		return usageError{fmt.Errorf("--purposes: %w", err)}
	}
	return nil
}

type consentDecode struct {
	vendorFlag   `set:"no_vendor=Without it a TCF string is UNKNOWN."`
	purposesFlag `set:"no_purposes=Default: 3,4."`
	File         string `arg:"" optional:"" default:"-" help:"File with one string a line; - is standard input."`
}

// decoded is one line of output.
type decoded struct {
	Line   int           `json:"line"`
	Kind   string        `json:"kind"`
	Result signal.Result `json:"result"`
	Why    string        `json:"why"`
}

func (c *consentDecode) Run() error {
	var terms signal.Terms
	if err := override(&terms, c.vendorFlag, c.purposesFlag); err != nil {
		return err
	}
	in, closeFile, err := openText(c.File)
	if err != nil {
		return err
	}
	defer closeFile()
	out := bufio.NewWriter(os.Stdout)
	if err := decodeLines(out, in, terms); err != nil {
		return err
	}
	return out.Flush()
}

// maxString is the longest line that is read as a string. One with every vendor
// of the list and all that a publisher can say of them has fewer bytes.
const maxString = 64 << 10

func decodeLines(w io.Writer, r io.Reader, terms signal.Terms) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	in := bufio.NewReaderSize(r, maxString)
	for line := 1; ; line++ {
		text, whole, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", line, err)
		}
		if s := bytes.TrimSpace(text); len(s) > 0 || !whole {
			if err := enc.Encode(decodeLine(line, string(s), whole, terms)); err != nil {
				return fmt.Errorf("write line %d: %w", line, err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readLine returns the next line, or as much of it as the reader holds if it is
// longer, and then passes over the rest.
func readLine(in *bufio.Reader) (text []byte, whole bool, err error) {
	text, err = in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, true, err
	}
	text = bytes.Clone(text)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	return text, false, err
}

func decodeLine(line int, s string, whole bool, terms signal.Terms) decoded {
	d := decoded{Line: line, Kind: stringKind(s)}
	var v signal.Verdict
	switch {
	case !whole:
		v = signal.Verdict{Result: signal.Malformed, Why: fmt.Sprintf("longer than %d bytes", maxString)}
	case d.Kind == "tcf":
		v = signal.JudgeTCF(s, terms)
	case d.Kind == "gpp":
		if v = signal.JudgeGPP(s, terms, nil); v == (signal.Verdict{}) {
			v = signal.Verdict{Result: signal.Unknown, Why: "G5: no section"}
		}
	case d.Kind == "us_privacy":
		v = signal.JudgeUSPrivacy(s)
	default:
		v = signal.Verdict{Result: signal.Malformed, Why: "neither a TCF, a GPP nor a US Privacy string"}
	}
	d.Result, d.Why = v.Result, v.Why
	return d
}

// stringKind tells strings apart by how they begin: a TCF string of version 1 or 2
// with B or C, a GPP string with D, and four characters after a digit are a US
// Privacy string.
func stringKind(s string) string {
	switch {
	case s == "":
	case s[0] == 'B' || s[0] == 'C':
		return "tcf"
	case s[0] == 'D':
		return "gpp"
	case len(s) == 4 && '0' <= s[0] && s[0] <= '9':
		return "us_privacy"
	}
	return "unknown"
}

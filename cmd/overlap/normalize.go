package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/overlap-psi/overlap/identifier"
)

type normalizeCommand struct {
	Profile string  `required:"" help:"Rule of normalisation: email.uid2-1, email.google-1, email.plain-1, phone.e164-1, phone.digits-1 or hash.sha256."`
	Region  country `help:"Country of phone numbers written without one, such as US or FR."`
	File    string  `arg:"" optional:"" default:"-" help:"File with one value a line; - is standard input."`
}

// normalized is one line of output.
type normalized struct {
	Line       int             `json:"line"`
	Code       identifier.Code `json:"code"`
	Normalized string          `json:"normalized,omitempty"`
	SHA256     string          `json:"sha256,omitempty"`
}

func (c *normalizeCommand) Run() error {
	profile, err := identifier.ParseProfile(c.Profile)
	if err != nil {
		return usageError{err}
	}
	in, closeFile, err := openText(c.File)
	if err != nil {
		return err
	}
	defer closeFile()
	out := bufio.NewWriter(os.Stdout)
	if err := normalizeLines(out, in, profile, identifier.Options{Region: string(c.Region)}); err != nil {
		return err
	}
	return out.Flush()
}

func normalizeLines(w io.Writer, r io.Reader, p identifier.Profile, o identifier.Options) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", line, err)
		}
		if err := enc.Encode(normalizeLine(line, bytes.TrimRight(text, "\r\n"), p, o)); err != nil {
			return fmt.Errorf("write line %d: %w", line, err)
		}
	}
}

func normalizeLine(line int, text []byte, p identifier.Profile, o identifier.Options) normalized {
	id, err := p.Normalize(string(text), o)
	var code identifier.Code
	if errors.As(err, &code) {
		return normalized{Line: line, Code: code}
	}
	return normalized{Line: line, Code: identifier.OK, Normalized: id.Normalized(), SHA256: fmt.Sprintf("%x", id.Sum())}
}

func openText(path string) (io.Reader, func() error, error) {
	if path == "-" {
		return os.Stdin, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

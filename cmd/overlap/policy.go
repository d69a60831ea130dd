package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

type policyCommand struct {
	New   policyNew   `cmd:"" help:"Write a policy to start from, every line explained."`
	Check policyCheck `cmd:"" help:"Check a policy, and who signed it."`
	Show  policyShow  `cmd:"" help:"Show every field of a policy, and what an epoch under it costs in privacy."`
	Hash  policyHash  `cmd:"" help:"Print the SHA-256 that both companies must see."`
	Sign  policySign  `cmd:"" help:"Sign a policy: adds this company to FILE.sig."`
	Diff  policyDiff  `cmd:"" help:"Say which fields of two policies differ. Exit status 1 if any."`
}

// agreement is a policy's file with the signatures beside it.
type agreement struct {
	*policy.Policy
	signed *policy.Signed // nil: nobody
}

func loadAgreement(path string) (agreement, error) {
	p, signed, err := policy.Load(path)
	return agreement{p, signed}, err
}

// readPolicy reads a policy whatever its signatures: who looks for what changed
// must be able to.
func readPolicy(path string) (*policy.Policy, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// signers are the ids of those who signed, first signer first.
func (a agreement) signers() []identity.ID {
	ids := []identity.ID{}
	if a.signed != nil {
		for _, s := range a.signed.Signers {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// short names companies for people to read.
func short(ids []identity.ID) string {
	if len(ids) == 0 {
		return "nobody"
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = fmt.Sprintf("%.8s…", id)
	}
	return strings.Join(names, ", ")
}

type policyNew struct {
	Preset string `enum:"default,pair,strict" default:"default" help:"Which one: default; pair, what PAIR asks of clean rooms; strict, consent only and little noise budget."`
	File   string `arg:"" optional:"" type:"path" help:"Where to write it; it must not exist. Default: standard output."`
}

func (c *policyNew) Run() error {
	p, err := policy.Preset(c.Preset)
	if err != nil {
		return err
	}
	if c.File == "" {
		_, err := os.Stdout.Write(p.Bytes())
		return err
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(p.Bytes())
	return errors.Join(err, f.Close())
}

type policyCheck struct {
	File     string   `arg:"" type:"existingfile" help:"The policy."`
	SignedBy []string `placeholder:"ID,…" help:"Ids of companies that must have signed it."`
	JSON     bool     `help:"Report as JSON."`
}

// checked is what a check reports.
type checked struct {
	SHA256   string        `json:"sha256"`
	Version  uint64        `json:"version"` // of the consent rules
	SignedBy []identity.ID `json:"signed_by"`
	Signed   time.Time     `json:"signed,omitzero"` // when the first company signed, as it says
}

func (c *policyCheck) Run() error {
	wanted := make([]identity.ID, len(c.SignedBy))
	for i, text := range c.SignedBy {
		var err error
		if wanted[i], err = identity.ParseID(text); err != nil {
			return usageError{fmt.Errorf("--signed-by: %w", err)}
		}
	}
	a, err := loadAgreement(c.File)
	if err != nil {
		return err
	}
	for _, id := range wanted {
		if a.signed == nil || !a.signed.By(id) {
			return refusedError{fmt.Errorf("the policy is not signed by %v", id)}
		}
	}
	report := checked{SHA256: fmt.Sprintf("%x", a.Hash()), Version: a.Consent.Version, SignedBy: a.signers()}
	if a.signed != nil {
		report.Signed = a.signed.Time
	}
	return printReport(c.JSON, report, func(w io.Writer, r checked) {
		fmt.Fprintf(w, "a valid policy, sha256 %s, version %d of its consent rules\n", r.SHA256, r.Version)
		if len(r.SignedBy) == 0 {
			fmt.Fprintln(w, "signed by nobody")
			return
		}
		fmt.Fprintf(w, "signed on %s and after, by\n", r.Signed.Format(time.RFC3339))
		for _, id := range r.SignedBy {
			fmt.Fprintf(w, "  %v\n", id)
		}
	})
}

type policyHash struct {
	File string `arg:"" type:"existingfile" help:"The policy."`
}

func (c *policyHash) Run() error {
	p, err := readPolicy(c.File)
	if err != nil {
		return err
	}
	fmt.Printf("%x\n", p.Hash())
	return nil
}

type policySign struct {
	File     string `arg:"" type:"existingfile" help:"The policy."`
	Identity string `required:"" type:"path" help:"Directory of your identity, made by keygen."`
}

func (c *policySign) Run() error {
	i, err := identity.Load(c.Identity)
	if err != nil {
		return err
	}
	p, err := loadPolicy(c.File)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(c.File + policy.SignedSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	after, err := policy.Sign(p, before, i.Key(), time.Now())
	if err != nil {
		return err
	}
	if err := replaceFile(c.File+policy.SignedSuffix, after); err != nil {
		return err
	}
	a, err := loadAgreement(c.File)
	if err != nil {
		return err
	}
	fmt.Printf("%x signed by\n", a.Hash())
	for _, id := range a.signers() {
		fmt.Printf("  %v\n", id)
	}
	return nil
}

// replaceFile writes a file under another name first, so that a crash leaves the
// signatures that were there.
func replaceFile(path string, content []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

type policyDiff struct {
	A string `arg:"" type:"existingfile" help:"One policy."`
	B string `arg:"" type:"existingfile" help:"The other."`
}

func (c *policyDiff) Run() error {
	a, err := readPolicy(c.A)
	if err != nil {
		return err
	}
	b, err := readPolicy(c.B)
	if err != nil {
		return err
	}
	lines := policy.Diff(a, b)
	for _, line := range lines {
		fmt.Println(line)
	}
	if len(lines) > 0 {
		return errors.New("the policies differ: no session starts until both companies hold the same file")
	}
	fmt.Println("the same policy, byte for byte")
	return nil
}

// Package market makes companies for measurements: a platform and any number of
// advertisers in a folder, with the files, identities and policy that they need,
// and runs the overlap binary for each as they would.
//
// Person i is the owner of person<i>@mail.example, and of account u<i> if the
// platform has one.
package market

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/overlap-psi/overlap/policy"
)

// Workshop returns a new temporary folder, which remove removes, and in it the
// overlap binary as it is now. The working directory is bench/.
func Workshop(ctx context.Context) (dir, binary string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "overlap"); err != nil {
		return "", "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	if binary, err = Build(ctx, dir); err != nil {
		remove()
		return "", "", nil, err
	}
	return dir, binary, remove, nil
}

// Build builds the overlap binary into dir. The working directory is bench/.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "overlap")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/overlap")
	build.Dir = ".." // the product's own module
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("go build: %w", err)
	}
	return binary, nil
}

// Market is a platform, and the advertisers that it lets in.
type Market struct {
	Binary string
	Dir    string
	ID     string         // the platform's
	Policy *policy.Policy // that all of them hold

	advertisers []*Advertiser
}

// Found makes the platform in a new folder. Fields of the default policy, such as
// "window", get other values, in TOML. A release leaves at a full second, and
// every match counts, so that none is hidden by the count's rules.
func Found(ctx context.Context, binary, dir string, fields map[string]string) (*Market, error) {
	m := &Market{Binary: binary, Dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	all := map[string]string{"release_step": "1"}
	maps.Copy(all, fields)
	document, err := Document(all)
	if err != nil {
		return nil, err
	}
	if m.Policy, err = policy.Parse(document); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.PolicyFile(), document, 0o600); err != nil {
		return nil, err
	}
	m.ID, err = m.overlap(ctx, "keygen", "--out", m.path("platform"), "--name", "platform")
	return m, err
}

// Document returns the default policy's document with other values.
func Document(fields map[string]string) ([]byte, error) {
	document := policy.Default().Bytes()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` *= .*$`)
		if len(line.FindAll(document, -1)) != 1 {
			return nil, fmt.Errorf("market: the default policy has no field %s", name)
		}
		document = line.ReplaceAllLiteral(document, []byte(name+" = "+fields[name]))
	}
	return document, nil
}

func (m *Market) path(name string) string { return filepath.Join(m.Dir, name) }

// PolicyFile is the policy's document.
func (m *Market) PolicyFile() string { return m.path("policy.toml") }

// Store is the platform's store, as --store takes it.
func (m *Market) Store() string { return "sqlite:" + m.path("users.db") }

// WorkDir is where the platform keeps its sessions' files.
func (m *Market) WorkDir() string { return filepath.Join(m.path("platform"), "work") }

// Import gives the platform accounts of the people first to last-1.
func (m *Market) Import(ctx context.Context, first, last int) error {
	if err := writeFile(m.path("users.csv"), func(w io.Writer) {
		fmt.Fprintln(w, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
		for i := first; i < last; i++ {
			fmt.Fprintf(w, "u%d,email,person%d@mail.example,ads_matching,granted,US,2026-01-02\n", i, i)
		}
	}); err != nil {
		return err
	}
	_, err := m.overlap(ctx, "ledger", "import", m.path("users.csv"), "--store", m.Store())
	return err
}

// Advertiser is a company with a list of customers: the people First to Last-1.
type Advertiser struct {
	Name        string
	Dir         string // of its identity; its journal and receipts are there, too
	ID          string
	First, Last int
	// PolicyFile is the policy that it and the platform hold: the Market's unless
	// another is put here, before Serve.
	PolicyFile string

	m *Market
}

// Invite makes an advertiser, and tells the platform of it: before Serve.
func (m *Market) Invite(ctx context.Context, name string, first, last int) (*Advertiser, error) {
	a := &Advertiser{Name: name, Dir: m.path(name), First: first, Last: last, PolicyFile: m.PolicyFile(), m: m}
	var err error
	if a.ID, err = m.overlap(ctx, "keygen", "--out", a.Dir, "--name", name); err != nil {
		return nil, err
	}
	m.advertisers = append(m.advertisers, a)
	return a, writeFile(a.List(), func(w io.Writer) {
		fmt.Fprintln(w, "email")
		for i := first; i < last; i++ {
			fmt.Fprintf(w, "person%d@mail.example\n", i)
		}
	})
}

// List is the advertiser's file of customers.
func (a *Advertiser) List() string { return filepath.Join(a.Dir, "customers.csv") }

// writePartners writes the platform's file of partners: all that were invited.
func (m *Market) writePartners() error {
	type partner struct {
		Name   string `json:"name"`
		ID     string `json:"id"`
		Policy string `json:"policy"`
	}
	var list []partner
	for _, a := range m.advertisers {
		list = append(list, partner{a.Name, a.ID, a.PolicyFile})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(m.path("partners.json"), text, 0o600)
}

// CheckAudience looks whether an audience of the advertiser's is exactly the
// accounts of the people first to last-1, each once.
func (a *Advertiser) CheckAudience(ctx context.Context, name string, first, last int) error {
	show := exec.CommandContext(ctx, a.m.Binary, "audience", "show", name, "--advertiser", a.ID, "--store", a.m.Store())
	var complaint bytes.Buffer
	show.Stderr = &complaint
	out, err := show.StdoutPipe()
	if err != nil {
		return err
	}
	if err := show.Start(); err != nil {
		return err
	}
	wrong := exactly(out, first, last)
	if err := show.Wait(); err != nil && wrong == nil {
		return fmt.Errorf("audience show: %w\n%s", err, complaint.Bytes())
	}
	return wrong
}

// exactly compares lines of account ids with the people who should be there.
func exactly(r io.Reader, first, last int) error {
	seen, count := make([]bool, last-first), 0
	lines := bufio.NewScanner(r)
	for ; lines.Scan(); count++ {
		var person int
		if _, err := fmt.Sscanf(lines.Text(), "u%d", &person); err != nil || person < first || person >= last || seen[person-first] {
			return errors.New("market: the audience has somebody who should not be there, or somebody twice")
		}
		seen[person-first] = true
	}
	if lines.Err() == nil && count != last-first {
		return fmt.Errorf("market: the audience has %d accounts, and should have %d", count, last-first)
	}
	return lines.Err()
}

// overlap runs a command and returns what it printed.
func (m *Market) overlap(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.Binary, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("overlap %s: %w\n%s", strings.Join(args[:2], " "), err, complaint.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

func writeFile(path string, text func(io.Writer)) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	text(w)
	return errors.Join(w.Flush(), f.Close())
}

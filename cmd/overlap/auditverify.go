package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/logbook"
)

type auditVerify struct {
	witnessFlag
	Log        string   `arg:"" type:"existingdir" help:"The log's directory, or a copy of it."`
	Platform   string   `required:"" placeholder:"ID" help:"The platform's id."`
	Checkpoint []string `type:"existingfile" help:"Older checkpoints that you or somebody you trust has kept: the log has to extend them. With --witness, what all of those have cosigned is one."`
	Access     bool     `help:"It is the access log."`
	JSON       bool     `help:"Report as JSON."`
}

// verified is what audit verify reports.
type verified struct {
	*audit.Report
	Witnessed *witnessed `json:"witnessed,omitempty"`
}

// witnessed is how far a log's witnesses have seen it.
type witnessed struct {
	Entries int64               `json:"entries"`
	By      []audit.Cosignature `json:"by"`
}

func (c *auditVerify) Run() error {
	want, name := audit.Expect{Content: audit.PublicEvents}, logbook.PublicName
	if c.Access {
		want.Content, name = audit.AccessEvents, logbook.AccessName
	}
	var err error
	if want.Log, err = logVerifier(c.Log, c.Platform, name); err != nil {
		return err
	}
	for _, file := range c.Checkpoint {
		kept, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		want.Kept = append(want.Kept, kept)
	}
	seen, err := c.witnessed(&want)
	if err != nil {
		return err
	}
	report, err := audit.Verify(os.DirFS(c.Log), want)
	if err != nil {
		return err
	}
	return printReport(c.JSON, verified{report, seen}, printVerified)
}

// witnessed adds what the witnesses have cosigned to what the log has to extend.
func (c *auditVerify) witnessed(want *audit.Expect) (*witnessed, error) {
	keys, err := c.keys()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	tree, err := audit.ReadCosigned(os.DirFS(c.Log), want.Log, audit.Quorum{Of: keys, Least: len(keys)})
	if err != nil {
		return nil, err
	}
	head := tree.Checkpoint()
	want.Kept = append(want.Kept, head.Bytes())
	return &witnessed{head.Size, head.Cosigned}, nil
}

func printVerified(w io.Writer, r verified) {
	fmt.Fprintf(w, "log intact: %d entries, signed by the platform\n", r.Size)
	if r.Witnessed != nil {
		fmt.Fprintf(w, "the first %d were cosigned by %s\n", r.Witnessed.Entries, cosigners(r.Witnessed.By))
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(w, "  %-13s %d\n", kind, r.Kinds[kind])
	}
}

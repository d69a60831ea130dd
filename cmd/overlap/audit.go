package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type auditCommand struct {
	Affected auditAffected `cmd:"" help:"Platform: who was affected by a misuse, and how many."`
	Evidence auditEvidence `cmd:"" help:"Platform: write one file that answers, with proofs, for overlap-verify."`
	Subject  auditSubject  `cmd:"" help:"Platform: what became of one account, for the person who asks."`
	Open     auditOpen     `cmd:"" help:"Platform: open positions of a session to an auditor."`
	Draw     auditDraw     `cmd:"" help:"Auditor: draw positions of a session at random."`
	Check    auditCheck    `cmd:"" help:"Auditor: check what the platform opened, against the advertiser's receipt."`
	Self     auditSelf     `cmd:"" help:"Platform: check regularly that log, sessions, evidence and ledger still fit together."`
	Verify   auditVerify   `cmd:"" help:"Anyone: check a platform's log, or a copy of it."`
	Request  auditRequest  `cmd:"" help:"Platform: write what witnesses need to cosign the log as it is."`
	Witness  auditWitness  `cmd:"" help:"Witness: cosign a log that extends the one cosigned last. Without a request: say the key that others name this witness by."`
	Publish  auditPublish  `cmd:"" help:"Platform: take in what witnesses have answered. Tables that waited for it are published."`
}

// platformFlags are where a platform has what it answers from.
type platformFlags struct {
	storeFlag
	Identity string `required:"" type:"path" help:"Directory of the platform's identity."`
	Dir      string `type:"path" help:"The directory that serve was given. Default: IDENTITY/work."`
}

// readerFlags say who looks at results, and why. Both go into the access log.
type readerFlags struct {
	Who    string `placeholder:"NAME" help:"Who asks. Default: this machine's user."`
	Reason reason `required:"" placeholder:"TEXT" help:"Why. It goes into the access log, with your name and how much you read."`
}

// reason is why somebody looks at results.
type reason string

// Validate is called by the parser.
func (r reason) Validate() error {
	if strings.TrimSpace(string(r)) == "" {
		return errors.New("say why: it is what the access log is read for")
	}
	return nil
}

func (f readerFlags) reader() inquiry.Reader {
	r := inquiry.Reader{Who: f.Who, Reason: string(f.Reason)}
	if r.Who == "" {
		r.Who = "unknown user"
		if u, err := user.Current(); err == nil {
			r.Who = u.Username
		}
	}
	return r
}

// open opens everything. The caller closes the store.
func (f platformFlags) open(ctx context.Context) (*inquiry.Platform, *identity.Identity, *store.DB, error) {
	i, err := identity.Load(f.Identity)
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := f.storeFlag.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	dir := f.Dir
	if dir == "" {
		dir = filepath.Join(f.Identity, "work")
	}
	book, err := logbook.Open(server.LogsDir(dir), i, db)
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return &inquiry.Platform{Store: db, Book: book, Evidence: server.EvidenceDir(dir)}, i, db, nil
}

func parseSID(s string) (sid [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(sid) {
		return sid, usageError{errors.New("a session is named by 64 hexadecimal digits; overlap receipt list shows them")}
	}
	return [32]byte(b), nil
}

type auditOpen struct {
	platformFlags
	readerFlags
	Session   string   `arg:"" help:"The session's id."`
	Challenge string   `type:"existingfile" xor:"which" help:"What an auditor drew."`
	Sample    int      `xor:"which" placeholder:"N" help:"Draw N positions here and now, and write the challenge beside the openings. Who draws his own does not prove much to others."`
	Positions []uint64 `xor:"which" help:"Positions to open, in increasing order. That is no audit: it shows that somebody was in the session, on which record."`
	Out       string   `required:"" type:"path" help:"Where the openings go."`
}

func (c *auditOpen) Run(ctx context.Context) (err error) {
	sid, err := parseSID(c.Session)
	if err != nil {
		return err
	}
	if err := c.before(); err != nil {
		return err
	}
	p, _, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	s, err := findSession(ctx, db, sid)
	if err != nil {
		return err
	}
	challenge, err := c.challenge(&s)
	if err != nil {
		return err
	}
	err = writePrivate(c.Out, func(w io.Writer) error {
		return p.Open(ctx, w, sid, challenge, c.Positions, c.reader())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return hint(fmt.Errorf("no evidence is kept of session %v", identity.ID(sid)),
			"a session leaves it once the platform has signed its questions, and it goes with the policy's retention_days; is --dir the one that serve was given?")
	}
	return err
}

// before looks at what can be seen to be wrong before the access log has it that
// positions were opened.
func (c *auditOpen) before() error {
	if err := mayCreate("--out", c.Out); err != nil || c.Sample == 0 {
		return err
	}
	if err := checkSamples("--sample", c.Sample); err != nil {
		return err
	}
	return mayCreate("--out", c.challengeFile())
}

// challengeFile is where a challenge goes that is drawn here.
func (c *auditOpen) challengeFile() string { return c.Out + ".challenge" }

// challenge reads the auditor's, or draws one, or returns nil if the positions
// are given.
func (c *auditOpen) challenge(s *store.Session) (*evidence.Challenge, error) {
	switch {
	case c.Challenge != "":
		file, err := os.ReadFile(c.Challenge)
		if err != nil {
			return nil, err
		}
		return evidence.ParseChallenge(file)
	case c.Sample > 0:
		r, err := receipt.Parse(s.Receipt)
		if err != nil {
			return nil, err
		}
		challenge, err := evidence.Draw(r, c.Sample, time.Now())
		if err != nil {
			return nil, err
		}
		return challenge, os.WriteFile(c.challengeFile(), challenge.Bytes(), 0o600)
	case len(c.Positions) > 0:
		return nil, nil
	}
	return nil, usageError{errors.New("say what to open: --challenge FILE, --sample N or --positions")}
}

// writePrivate writes a file that nobody else reads, whole or not at all.
func writePrivate(name string, write func(io.Writer) error) error {
	return pending.WriteFunc(name, "."+filepath.Base(name)+"-", write)
}

type auditDraw struct {
	Receipt string `arg:"" type:"existingfile" help:"The advertiser's receipt of the session."`
	Samples int    `default:"4603" help:"How many positions; 4603 find one bad in a thousand with 99 %."`
	Log     string `type:"existingdir" help:"A copy of the platform's public log. The challenge then names its checkpoint: the log has to extend it, and no later erasure is an excuse, whatever time it bears."`
}

// checkSamples refuses a number of positions that no challenge has.
func checkSamples(flag string, n int) error {
	if n < 1 || n > evidence.MaxSamples {
		return usageError{fmt.Errorf("%s %d: draw 1 to %d positions", flag, n, evidence.MaxSamples)}
	}
	return nil
}

func (c *auditDraw) Run() error {
	if err := checkSamples("--samples", c.Samples); err != nil {
		return err
	}
	r, err := readReceipt(c.Receipt)
	if err != nil {
		return err
	}
	challenge, err := evidence.Draw(r, c.Samples, time.Now())
	if err != nil {
		return err
	}
	if c.Log != "" {
		if challenge.Checkpoint, err = checkpointOf(c.Log, r); err != nil {
			return err
		}
	}
	_, err = os.Stdout.Write(challenge.Bytes())
	return err
}

// checkpointOf returns the signed checkpoint of the log of the platform that a receipt
// is of.
func checkpointOf(dir string, r *receipt.Receipt) ([]byte, error) {
	asked, err := r.Questions()
	if err != nil {
		return nil, err
	}
	log, err := logVerifier(dir, asked.Platform.String(), logbook.PublicName)
	if err != nil {
		return nil, err
	}
	tree, err := audit.Read(os.DirFS(dir), log, audit.Quorum{})
	if err != nil {
		return nil, err
	}
	head := tree.Checkpoint()
	return head.Bytes(), nil
}

func readReceipt(name string) (*receipt.Receipt, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return receipt.Parse(file)
}

type auditCheck struct {
	Openings   string `arg:"" type:"existingfile" help:"What the platform opened."`
	Receipt    string `required:"" type:"existingfile" help:"The advertiser's receipt."`
	Challenge  string `type:"existingfile" help:"What you drew. Without it the positions are those that the platform chose: their records are shown, and that is no audit."`
	Policy     string `type:"existingfile" help:"The policy that the session ran under. Default: the one that comes with this program."`
	Log        string `type:"existingdir" and:"log" help:"A copy of the platform's public log: erasures in it from before the draw excuse positions that can't be opened. Needs --platform, and --checkpoint unless the challenge names one."`
	Platform   string `placeholder:"ID" and:"log" help:"The platform's id."`
	Checkpoint string `type:"existingfile" help:"The log's checkpoint that you kept before you handed out the challenge: the log has to extend it, and no later erasure counts, whatever time it bears."`
	JSON       bool   `help:"Report as JSON."`
}

func (c *auditCheck) Run() error {
	k := evidence.Case{Policy: policy.Default()}
	var err error
	if k.Receipt, err = readReceipt(c.Receipt); err != nil {
		return err
	}
	if c.Challenge != "" {
		file, err := os.ReadFile(c.Challenge)
		if err != nil {
			return err
		}
		if k.Challenge, err = evidence.ParseChallenge(file); err != nil {
			return err
		}
	}
	if c.Policy != "" {
		if k.Policy, _, err = policy.Load(c.Policy); err != nil {
			return err
		}
	}
	if err := c.excuses(&k); err != nil {
		return err
	}
	openings, err := os.Open(c.Openings)
	if err != nil {
		return err
	}
	defer openings.Close()
	if k.Challenge == nil {
		return c.chosen(openings, &k)
	}
	report, err := evidence.Check(openings, &k)
	if err != nil {
		return err
	}
	if err := printReport(c.JSON, report, printAudit); err != nil {
		return err
	}
	return report.Err()
}

// excuses reads which erasures the case admits. A challenge that names a checkpoint
// is not answered without the log.
func (c *auditCheck) excuses(k *evidence.Case) error {
	var kept [][]byte
	if k.Challenge != nil && k.Challenge.Checkpoint != nil {
		kept = append(kept, k.Challenge.Checkpoint)
	}
	if c.Checkpoint != "" {
		signed, err := os.ReadFile(c.Checkpoint)
		if err != nil {
			return err
		}
		kept = append(kept, signed)
	}
	switch {
	case c.Log == "" && len(kept) == 0:
		return nil
	case c.Log == "":
		return usageError{errors.New("the log has to extend the checkpoint: give a copy of it with --log DIR --platform ID")}
	case len(kept) == 0:
		return usageError{errors.New("--log needs --checkpoint FILE, the log's that you kept before you handed out the challenge; audit draw --log puts it into the challenge")}
	}
	var err error
	k.Erasures, err = erasures(c.Log, c.Platform, kept)
	k.Covered = true
	return err
}

// chosen shows the records of positions that the platform chose.
func (c *auditCheck) chosen(openings io.Reader, k *evidence.Case) error {
	records := []opened{}
	report, err := evidence.CheckChosen(openings, k, func(at uint64, r *consent.Record) {
		records = append(records, opened{at, r.Class.String(), hex.EncodeToString(r.Sum[:]), r.Purpose.String(), r.Basis.String(), r.Jurisdiction,
			r.Notice, r.Surface, r.Reference, r.Source, r.CollectedAt})
	})
	if err != nil {
		return err
	}
	err = printReport(c.JSON, records, func(w io.Writer, records []opened) {
		fmt.Fprintf(w, "session %s of platform %.12s…: the platform chose what to open\n", report.Session, report.Platform.String())
		for _, r := range records {
			fmt.Fprintf(w, "  position %d: %s %.12s…, %s on %s, notice %q, source %q, collected %s\n", r.Position, r.Class, r.SHA256, r.Purpose, r.Basis, r.Notice, r.Source, r.Collected.Format(time.DateOnly))
		}
	})
	return errors.Join(err, report.Err())
}

// opened is a record that was shown to have been asked on.
type opened struct {
	Position     uint64    `json:"position"`
	Class        string    `json:"class"`
	SHA256       string    `json:"sha256"` // of the normalised identifier
	Purpose      string    `json:"purpose"`
	Basis        string    `json:"basis"`
	Jurisdiction string    `json:"jurisdiction,omitempty"`
	Notice       string    `json:"notice,omitempty"`
	Surface      string    `json:"surface,omitempty"`
	Reference    string    `json:"reference,omitempty"`
	Source       string    `json:"source,omitempty"`
	Collected    time.Time `json:"collected_at"`
}

func printAudit(w io.Writer, r *evidence.Report) {
	fmt.Fprintf(w, "session %s of platform %.12s…\n", r.Session, r.Platform.String())
	fmt.Fprintf(w, "%d positions were drawn of %d: %d consented records, %d nobody, %d erased, %d bad\n", r.Drawn, r.Size, r.Records, r.Pads, r.Erased, len(r.Bad))
	for _, bad := range r.Bad {
		fmt.Fprintf(w, "  position %d: %s\n", bad.Position, bad.Reason)
	}
	for _, d := range r.Detection {
		fmt.Fprintf(w, "if %g %% of the positions were bad, one would have been drawn with %.1f %%\n", 100*d.Fraction, 100*d.Probability)
	}
}

// logVerifier returns what checks the signatures of a platform's log of that name.
func logVerifier(dir, platform string, name func(identity.ID) string) (note.Verifier, error) {
	id, err := identity.ParseID(platform)
	if err != nil {
		return nil, usageError{fmt.Errorf("--platform: %w", err)}
	}
	key, err := logbook.Key(os.DirFS(dir), id)
	if err != nil {
		return nil, err
	}
	return audit.NewVerifier(name(id), key)
}

// erasures returns which leaves were closed in the part of the log that all the kept
// checkpoints cover, and when. The platform writes the times, so that only a
// checkpoint shows that it had not seen the challenge yet.
func erasures(dir, platform string, kept [][]byte) (map[[32]byte]time.Time, error) {
	log, err := logVerifier(dir, platform, logbook.PublicName)
	if err != nil {
		return nil, err
	}
	tree, err := audit.Read(os.DirFS(dir), log, audit.Quorum{})
	if err != nil {
		return nil, err
	}
	end := tree.Size()
	for _, signed := range kept {
		c, err := audit.ParseCheckpoint(signed, log, audit.Quorum{})
		if err != nil {
			return nil, err
		}
		if err := tree.Extends(c); err != nil {
			return nil, err
		}
		end = min(end, c.Size)
	}
	closed, index := map[[32]byte]time.Time{}, int64(0)
	for entry, err := range tree.Entries(0) {
		if err != nil {
			return nil, err
		}
		if index == end {
			break
		}
		index++
		e, err := audit.ParseEvent(entry)
		if err != nil {
			return nil, err
		}
		if b, ok := e.Body.(audit.Erasure); ok {
			for _, c := range b.Closed {
				for _, leaf := range c.Leaves {
					closed[leaf] = e.Time
				}
			}
		}
	}
	return closed, nil
}

type auditSelf struct {
	platformFlags
	JSON bool `help:"Report as JSON."`
}

func (c *auditSelf) Run(ctx context.Context) (err error) {
	p, _, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	found, err := p.Check(ctx)
	if err != nil {
		return err
	}
	err = printReport(c.JSON, found, func(w io.Writer, found *inquiry.SelfCheck) {
		fmt.Fprintf(w, "%d entries of the log, %d sessions; %d records admitted again, %d erased since; of %d sessions nothing is kept any more\n",
			found.Entries, found.Sessions, found.Records, found.Erased, found.Expired)
		for _, problem := range found.Problems {
			fmt.Fprintf(w, "  %.12s  %s\n", problem.Session, problem.What)
		}
	})
	return errors.Join(err, found.Err())
}

// predicateFlags say which records are meant.
type predicateFlags struct {
	Predicate  []string `placeholder:"KEY=VALUE|VALUE" sep:"none" help:"Which records are meant, such as source=crm-7 or purpose=account_recovery. All of several must hold."`
	Purpose    []string `help:"Short for --predicate purpose=…"`
	Source     []string `sep:"none" help:"Short for --predicate source=…"`
	Since      string   `placeholder:"TIME" help:"Only sessions whose consent was judged then or later: a day, or a time as in RFC 3339."`
	Until      string   `placeholder:"TIME" help:"Only sessions before the end of that day, or that time."`
	Advertiser string   `placeholder:"ID" help:"Only sessions with that advertiser."`
	Session    string   `placeholder:"ID" help:"Only that session."`
}

// asked says whether there is a question, whole or not.
func (f *predicateFlags) asked() bool {
	return f.ofRecords() || f.Since != "" || f.Until != "" || f.Advertiser != "" || f.Session != ""
}

func (f *predicateFlags) ofRecords() bool {
	return len(f.Predicate)+len(f.Purpose)+len(f.Source) > 0
}

func (f *predicateFlags) question() (q *inquiry.Question, err error) {
	if !f.ofRecords() {
		return nil, usageError{errors.New("which records are meant? --purpose, --source or --predicate says so")}
	}
	words := append([]string{}, f.Predicate...)
	if len(f.Purpose) > 0 {
		words = append(words, "purpose="+strings.Join(f.Purpose, "|"))
	}
	for _, s := range f.Source {
		words = append(words, "source="+strings.NewReplacer(`\`, `\\`, `|`, `\|`).Replace(s))
	}
	q = new(inquiry.Question)
	if q.Predicate, err = consent.ParsePredicate(words); err != nil {
		return nil, usageError{err}
	}
	if q.Since, q.Until, err = parseTimes(f.Since, f.Until, 24*time.Hour); err != nil {
		return nil, err
	}
	if !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return nil, errNoTime
	}
	if f.Advertiser != "" {
		id, err := identity.ParseID(f.Advertiser)
		if err != nil {
			return nil, usageError{fmt.Errorf("--advertiser: %w", err)}
		}
		q.Advertiser = id
	}
	if f.Session != "" {
		if q.SID, err = parseSID(f.Session); err != nil {
			return nil, err
		}
	}
	return q, nil
}

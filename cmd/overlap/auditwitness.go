package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/server"
)

// witnessFlag names witnesses by their keys.
type witnessFlag struct {
	Witness []string `placeholder:"NAME+ID+KEY" sep:"none" help:"The key of a witness of the platform's log, as the witness says it (c2sp.org/signed-note). Once for each."`
}

func (f witnessFlag) keys() (list []*audit.WitnessKey, err error) {
	for _, text := range f.Witness {
		w, err := audit.ParseWitnessKey(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--witness: %w", err)}
		}
		if slices.ContainsFunc(list, func(other *audit.WitnessKey) bool { return w.Same(other) || w.Name() == other.Name() }) {
			return nil, usageError{errors.New("--witness: one witness is named twice; two names with one key are one")}
		}
		list = append(list, w)
	}
	return list, nil
}

// required is keys of a command that has nothing to do without one.
func (f witnessFlag) required() ([]*audit.WitnessKey, error) {
	list, err := f.keys()
	if err == nil && len(list) == 0 {
		err = usageError{errors.New("name the witnesses that your advertisers trust with --witness")}
	}
	return list, err
}

// logFlags are where a platform has its public log.
type logFlags struct {
	Identity string `required:"" type:"path" help:"Directory of the platform's identity."`
	Dir      string `type:"path" help:"The directory that serve was given. Default: IDENTITY/work."`
}

func (f logFlags) open() (*identity.Identity, *logbook.Book, error) {
	i, err := identity.Load(f.Identity)
	if err != nil {
		return nil, nil, err
	}
	book, err := logbook.Open(server.LogsDir(cmp.Or(f.Dir, filepath.Join(f.Identity, "work"))), i, nil)
	return i, book, err
}

// exchange is a directory in which a platform and its witnesses exchange files.
//
//	key             the platform's public key
//	log.vkey        the same as the log's, for other software
//	NAME.request    what the witness is asked to cosign
//	NAME.cosigned   the answer to it: the line of its signature
//
// The last two are the body and the answer of an add-checkpoint of
// c2sp.org/tlog-witness, so that curl asks a witness on the network.
//
// They stay until the next request: what a witness has answered says from where on
// it has to be shown that the log has only grown.
type exchange string

const (
	requested = ".request"
	answered  = ".cosigned"
)

func (x exchange) file(name, kind string) string {
	return filepath.Join(string(x), url.PathEscape(name)+kind)
}

// request reads what the witness was asked last.
func (x exchange) request(w *audit.WitnessKey) (*audit.Consistency, error) {
	file, err := os.ReadFile(x.file(w.Name(), requested))
	if err != nil {
		return nil, err
	}
	return audit.ParseConsistency(file)
}

// cosigned reads the checkpoint that the witness was asked about with its answer,
// and verifies both signatures.
func (x exchange) cosigned(w *audit.WitnessKey, log note.Verifier) (*audit.Checkpoint, error) {
	asked, err := x.request(w)
	if err != nil {
		return nil, err
	}
	answer, err := os.ReadFile(x.file(w.Name(), answered))
	if err != nil {
		return nil, err
	}
	c, err := audit.ParseCheckpoint(asked.Cosigned(answer), log, audit.Quorum{Of: []*audit.WitnessKey{w}, Least: 1})
	return c, hint(err, "its answer is to another request, was changed on the way, or is signed with another key than --witness names")
}

type auditRequest struct {
	logFlags
	witnessFlag
	Exchange string           `arg:"" type:"path" help:"Directory to exchange files with the witnesses in: NAME.request is for the witness of that name, and so is the file key. The answer belongs beside it as NAME.cosigned. A witness of c2sp.org/tlog-witness that knows log.vkey is asked with: curl -f --data-binary @NAME.request URL/add-checkpoint -o NAME.cosigned"`
	Old      map[string]int64 `placeholder:"NAME=N" help:"How many entries the witness says it has cosigned, where that is not what it answered here last."`
}

func (c *auditRequest) Run() error {
	witnesses, err := c.required()
	if err != nil {
		return err
	}
	for name := range c.Old {
		if !slices.ContainsFunc(witnesses, func(w *audit.WitnessKey) bool { return w.Name() == name }) {
			return usageError{errors.New("--old: no --witness has that name")}
		}
	}
	i, book, err := c.open()
	if err != nil {
		return err
	}
	tree, err := audit.Read(os.DirFS(book.PublicDir()), book.Signer().Verifier(), audit.Quorum{})
	if err != nil {
		return err
	}
	requests := make([][]byte, len(witnesses))
	for n, w := range witnesses {
		old, err := c.old(w, book.Signer().Verifier())
		if err != nil {
			return err
		}
		proof, err := tree.ProveConsistency(old)
		if err != nil {
			return fmt.Errorf("%s has cosigned %d entries, and the log has %d: %w", w.Name(), old, tree.Size(), err)
		}
		requests[n] = proof.Bytes()
	}
	if err := logbook.PutKey(c.Exchange, i.Public()); err != nil {
		return err
	}
	if err := writeBytes(filepath.Join(c.Exchange, "log.vkey"), []byte(book.Signer().VerifierKey()+"\n")); err != nil {
		return err
	}
	for n, w := range witnesses {
		if err := c.write(w, requests[n]); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries are to be cosigned\n", tree.Size())
	return nil
}

// old is how many entries the witness has cosigned.
func (c *auditRequest) old(w *audit.WitnessKey, log note.Verifier) (int64, error) {
	if n, told := c.Old[w.Name()]; told {
		return n, nil
	}
	x := exchange(c.Exchange)
	asked, err := x.request(w)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	last, err := x.cosigned(w, log)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, hint(fmt.Errorf("%s has not answered the last request yet", w.Name()),
			"cosignatures add up on one request only, so wait for it; to ask all of them anew all the same: --old %s=%d", w.Name(), asked.Old)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", w.Name(), err)
	}
	return last.Size, nil
}

// write puts a request in the place of what was answered.
func (c *auditRequest) write(w *audit.WitnessKey, request []byte) error {
	x := exchange(c.Exchange)
	if err := os.Remove(x.file(w.Name(), answered)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	name := x.file(w.Name(), requested)
	if err := writeBytes(name, request); err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}

func writeBytes(name string, content []byte) error {
	return writePrivate(name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

type auditWitness struct {
	Request  string `arg:"" optional:"" type:"existingfile" help:"The platform's NAME.request: a consistency proof with the log's checkpoint (c2sp.org/tlog-witness)."`
	Identity string `required:"" type:"path" help:"Directory of the witness's identity, made by keygen. It also keeps what was cosigned last."`
	Name     string `required:"" help:"The witness's name, as in its signatures."`
	Platform string `placeholder:"ID" help:"The platform's id, from the platform itself."`
	Key      string `type:"existingdir" help:"Directory that has the platform's file key, such as a copy of its log. Default: where the request is."`
	State    string `type:"path" help:"File with the checkpoint that was cosigned last. Default: IDENTITY/cosigned-PLATFORM."`
	Out      string `type:"path" help:"Where the answer goes. Default: beside the request, as NAME.cosigned."`
}

func (c *auditWitness) Run() error {
	own, err := identity.Load(c.Identity)
	if err != nil {
		return err
	}
	cosigner, err := audit.NewCosigner(c.Name, own.Key())
	if err != nil {
		return usageError{fmt.Errorf("--name: %w", err)}
	}
	if c.Request == "" {
		fmt.Println(&cosigner.WitnessKey)
		return nil
	}
	log, err := logVerifier(cmp.Or(c.Key, filepath.Dir(c.Request)), c.Platform, logbook.PublicName)
	if err != nil {
		return err
	}
	request, err := os.ReadFile(c.Request)
	if err != nil {
		return err
	}
	state := cmp.Or(c.State, filepath.Join(c.Identity, "cosigned-"+c.Platform))
	witness := audit.NewWitness(state, cosigner, log)
	cosigned, err := witness.Cosign(request, time.Now())
	if err != nil {
		return c.refusal(witness, err)
	}
	return writeBytes(cmp.Or(c.Out, strings.TrimSuffix(c.Request, requested)+answered), audit.Answer(cosigned))
}

// refusal says what to do about a request that is not cosigned.
func (c *auditWitness) refusal(w *audit.Witness, err error) error {
	last, e := w.Last()
	switch {
	case e != nil:
		return hint(err, "what this witness keeps of the log is damaged, or was cosigned under another name than --name; it signs nothing without")
	case last == nil:
		return err
	case errors.Is(err, audit.ErrStale):
		return hint(err, "this witness has cosigned %d entries last; the platform asks for that with: overlap audit request --old %s=%d", last.Size, c.Name, last.Size)
	case errors.Is(err, audit.ErrFork), errors.Is(err, audit.ErrRollback):
		return hint(err, "keep the request: with the checkpoint that was cosigned last it shows two views of one log, both signed by the platform")
	}
	return err
}

type auditPublish struct {
	logFlags
	witnessFlag
	Exchange string `arg:"" type:"existingdir" help:"The directory that audit request was given, with what the witnesses answered."`
	JSON     bool   `help:"Report as JSON."`
}

// published is what audit publish reports.
type published struct {
	witnessed
	Waiting []string `json:"waiting,omitempty"` // who has not answered
}

func (c *auditPublish) Run(ctx context.Context) error {
	witnesses, err := c.required()
	if err != nil {
		return err
	}
	_, book, err := c.open()
	if err != nil {
		return err
	}
	var r published
	var errs []error
	for _, w := range witnesses {
		head, err := exchange(c.Exchange).cosigned(w, book.Signer().Verifier())
		if errors.Is(err, fs.ErrNotExist) {
			r.Waiting = append(r.Waiting, w.Name())
			continue
		}
		if err == nil {
			head, err = audit.PublishCosigned(ctx, book.PublicDir(), book.Signer(), audit.PublicEvents, head.Bytes(), audit.Quorum{Of: witnesses, Least: 1})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.Name(), err))
			continue
		}
		r.witnessed = witnessed{head.Size, head.Cosigned}
	}
	if len(errs) == 0 && len(r.By) == 0 {
		return errors.New("no witness has answered yet")
	}
	if len(r.By) > 0 {
		errs = append(errs, printReport(c.JSON, r, printPublished))
	}
	return errors.Join(errs...)
}

func printPublished(w io.Writer, r published) {
	fmt.Fprintf(w, "%d entries cosigned by %s\n", r.Entries, cosigners(r.By))
	if len(r.Waiting) > 0 {
		fmt.Fprintf(w, "no answer yet from %s\n", strings.Join(r.Waiting, ", "))
	}
}

// cosigners says who has cosigned.
func cosigners(by []audit.Cosignature) string {
	list := make([]string, len(by))
	for i, c := range by {
		list[i] = c.Witness
	}
	return strings.Join(list, ", ")
}

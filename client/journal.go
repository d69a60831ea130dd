package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
)

// ErrBudget says that a platform asks for more than the policy lets it ask in
// this epoch.
var ErrBudget = errors.New("client: the platform's questions for this epoch are used up")

// ErrAsked says that this company would ask a platform more than the policy lets
// it ask in this epoch. The platform counts too; this spares it the question.
var ErrAsked = errors.New("client: this company's questions for this epoch are used up")

// errReplayed is an OPEN that came before.
var errReplayed = fmt.Errorf("client: this nonce has been used: %w", psi.AbortReplay)

// journal is the advertiser's durable memory: what each platform has asked, what
// it was asked, and which OPENs it has sent. In P_LEARNS the platform could enumerate the list by
// asking again and again, and this is what stops it, so an entry is on disk
// before the answer it covers leaves. It holds no identifier and no token.
//
// It is a file of JSON lines that only grows. Several processes may share it.
type journal struct {
	mu   sync.Mutex
	path string
	lock *flock.Flock
}

// entry is one line: a nonce that was seen, or questions that were admitted.
type entry struct {
	Time     time.Time    `json:"time"`
	Platform identity.ID  `json:"platform"`
	Nonce    *identity.ID `json:"nonce,omitempty"` // 32 bytes in hexadecimal
	Until    time.Time    `json:"until,omitzero"`  // the nonce counts as seen until then
	Epoch    uint64       `json:"epoch,omitempty"`
	Queries  uint64       `json:"queries,omitempty"`
	Asked    uint64       `json:"asked,omitempty"` // of the platform, by this company
}

// journalFile is the journal's name in its directory.
const journalFile = "journal.jsonl"

func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("client: journal: %w", err)
	}
	path := filepath.Join(dir, journalFile)
	return &journal{path: path, lock: flock.New(path + ".lock")}, nil
}

// see is the session.Replay of this side.
func (j *journal) see(_ context.Context, peer identity.ID, nonce [32]byte, until time.Time) error {
	now := time.Now()
	return j.append(func(seen []entry) (entry, error) {
		for _, e := range seen {
			if e.Nonce != nil && *e.Nonce == nonce && e.Platform == peer && e.Until.After(now) {
				return entry{}, errReplayed
			}
		}
		// A second more than until, since the OPEN was looked at a moment ago.
		return entry{Time: now, Platform: peer, Nonce: (*identity.ID)(&nonce), Until: until.Add(time.Second)}, nil
	})
}

// charge admits n questions of a platform in an epoch, or returns ErrBudget if
// they would exceed the limit. A charge is never taken back.
func (j *journal) charge(platform identity.ID, epoch, n, limit uint64) error {
	e := entry{Platform: platform, Epoch: epoch, Queries: n}
	return j.within(e, n, limit, ErrBudget, func(e *entry) uint64 { return e.Queries })
}

// ask is charge for what this company asks of a platform; its error is ErrAsked.
func (j *journal) ask(platform identity.ID, epoch, n, limit uint64) error {
	e := entry{Platform: platform, Epoch: epoch, Asked: n}
	return j.within(e, n, limit, ErrAsked, func(e *entry) uint64 { return e.Asked })
}

// within appends e, of amount n, unless that and what the same platform and epoch
// have already exceed the limit: then its error wraps spent and psi.AbortBudget.
func (j *journal) within(e entry, n, limit uint64, spent error, amount func(*entry) uint64) error {
	return j.append(func(past []entry) (entry, error) {
		sum := uint64(0)
		for i := range past {
			if past[i].Platform == e.Platform && past[i].Epoch == e.Epoch {
				sum += amount(&past[i])
			}
		}
		if n > limit || sum > limit-n {
			return entry{}, fmt.Errorf("%w: %w", spent, psi.AbortBudget)
		}
		e.Time = time.Now()
		return e, nil
	})
}

// append decides on the next entry from all before it and makes it durable, with
// no other process in between.
func (j *journal) append(next func(past []entry) (entry, error)) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.lock.Lock(); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	defer j.lock.Unlock()
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("client: journal: %w", closeErr)
		}
	}()
	past, end, err := readJournal(f)
	if err != nil {
		return err
	}
	e, err := next(past)
	if err != nil {
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	// A line that a crash cut off covers nothing that left: write over it.
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	if _, err := f.WriteAt(append(line, '\n'), end); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	return nil
}

// readJournal returns the whole entries and where they end.
func readJournal(r io.Reader) (past []entry, end int64, err error) {
	in := bufio.NewReader(r)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return past, end, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("client: journal: %w", err)
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, 0, fmt.Errorf("client: journal: line %d cannot be read; the budgets it holds can't be known", line)
		}
		past, end = append(past, e), end+int64(len(text))
	}
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
// It is a file of JSON lines that only grows. Several processes may share it: each
// reads what the others have appended, and nothing twice.
type journal struct {
	mu   sync.Mutex
	path string
	lock *flock.Flock
	past memory
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

// openJournal makes the journal if there is none, so that a directory it can't be
// written in is noticed before anything is asked.
func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("client: journal: %w", err)
	}
	path := filepath.Join(dir, journalFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("client: journal: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("client: journal: %w", err)
	}
	return &journal{path: path, lock: flock.New(path + ".lock")}, nil
}

// see is the session.Replay of this side.
func (j *journal) see(_ context.Context, peer identity.ID, nonce [32]byte, until time.Time) error {
	now := time.Now()
	return j.append(func(past *memory) (entry, error) {
		if past.nonces[seen{peer, nonce}].After(now) {
			return entry{}, errReplayed
		}
		// A second more than until, since the OPEN was looked at a moment ago.
		return entry{Time: now, Platform: peer, Nonce: (*identity.ID)(&nonce), Until: until.Add(time.Second)}, nil
	})
}

// charge admits n questions of a platform in an epoch, or returns ErrBudget if
// they would exceed the limit. A charge is never taken back.
func (j *journal) charge(platform identity.ID, epoch, n, limit uint64) error {
	e := entry{Platform: platform, Epoch: epoch, Queries: n}
	return j.within(e, n, limit, ErrBudget, func(c charged) uint64 { return c.queries })
}

// ask is charge for what this company asks of a platform; its error is ErrAsked.
func (j *journal) ask(platform identity.ID, epoch, n, limit uint64) error {
	e := entry{Platform: platform, Epoch: epoch, Asked: n}
	return j.within(e, n, limit, ErrAsked, func(c charged) uint64 { return c.asked })
}

// within appends e, of amount n, unless that and what the same platform and epoch
// have already exceed the limit: then its error wraps spent and psi.AbortBudget.
func (j *journal) within(e entry, n, limit uint64, spent error, amount func(charged) uint64) error {
	return j.append(func(past *memory) (entry, error) {
		if sum := amount(past.sums[account{e.Platform, e.Epoch}]); n > limit || sum > limit-n {
			return entry{}, fmt.Errorf("%w: %w", spent, psi.AbortBudget)
		}
		e.Time = time.Now()
		return e, nil
	})
}

// look reads what there is, so that a journal that can't be read is noticed before
// anything leaves.
func (j *journal) look() error {
	return j.locked(func(*os.File) error { return nil })
}

// locked reads on in the journal and lets a function have it, with no other process
// in between.
func (j *journal) locked(do func(f *os.File) error) (err error) {
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
	if err := j.past.readOn(f); err != nil {
		return fmt.Errorf("client: journal: %s: %w", j.path, err)
	}
	return do(f)
}

// append decides on the next entry from all before it and makes it durable.
func (j *journal) append(next func(past *memory) (entry, error)) error {
	return j.locked(func(f *os.File) error {
		e, err := next(&j.past)
		if err != nil {
			return err
		}
		return j.write(f, e)
	})
}

func (j *journal) write(f *os.File, e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	// A line that a crash cut off covers nothing that left: write over it.
	if err := f.Truncate(j.past.end); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	if _, err := f.WriteAt(append(line, '\n'), j.past.end); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("client: journal: %w", err)
	}
	return nil // the next append reads the line, as others do
}

package audit

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"
)

// entriesACheckpoint bounds what one checkpoint adds, and so the memory it takes.
const entriesACheckpoint = 4096

// What Publish does not go on from: the log would tell two stories of one time.
var (
	// ErrBehind says that the store lacks the log's last entry.
	ErrBehind = errors.New("audit: the store is older than the log, and lacks what was published since: put back a later copy of the store")
	// ErrApart says that it has another in that place.
	ErrApart = errors.New("audit: the store has other entries than the log: it is another's, or an older copy that was written to since: put back the store that the log was published from")
)

// Publish appends what the store has after the log's last entry, and closes the log
// again, so that several processes can take turns. next returns the store's entries
// from an index on; without the log's last one, the error is ErrBehind or ErrApart.
// It waits for another writer until ctx is over. It returns the log's size then, also
// with an error of next.
func Publish(ctx context.Context, dir string, signer *Signer, content Content, next func(from int64) iter.Seq2[[]byte, error]) (size int64, err error) {
	l, err := openWhenFree(ctx, dir, signer, content)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	batch := make([][]byte, 0, entriesACheckpoint)
	for entry, err := range following(l.Tree(), next) {
		if err != nil {
			return l.Size(), err
		}
		if batch = append(batch, entry); len(batch) < entriesACheckpoint {
			continue
		}
		if _, err := l.Append(batch...); err != nil {
			return l.Size(), err
		}
		batch = batch[:0]
	}
	_, err = l.Append(batch...)
	return l.Size(), err
}

// following returns what next has after the tree's last entry.
func following(t *Tree, next func(from int64) iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	if t.Size() == 0 {
		return next(0)
	}
	return func(yield func([]byte, error) bool) {
		last, err := t.last()
		if err != nil {
			yield(nil, err)
			return
		}
		found := false
		for entry, err := range next(t.Size() - 1) {
			switch {
			case err != nil:
				yield(nil, err)
				return
			case !found && !bytes.Equal(entry, last):
				yield(nil, ErrApart)
				return
			case found && !yield(entry, nil):
				return
			}
			found = true
		}
		if !found {
			yield(nil, ErrBehind)
		}
	}
}

func openWhenFree(ctx context.Context, dir string, signer *Signer, content Content) (*Log, error) {
	for {
		l, err := Open(dir, signer, content)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

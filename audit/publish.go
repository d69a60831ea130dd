package audit

import (
	"context"
	"errors"
	"iter"
	"time"
)

// entriesACheckpoint bounds what one checkpoint adds, and so the memory it takes.
const entriesACheckpoint = 4096

// Publish appends what next has from the log's end on, and closes the log again,
// so that several processes can take turns. It waits for another writer until ctx
// is over. It returns the log's size then, also with an error of next.
func Publish(ctx context.Context, dir string, signer *Signer, content Content, next func(from int64) iter.Seq2[[]byte, error]) (size int64, err error) {
	l, err := openWhenFree(ctx, dir, signer, content)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	batch := make([][]byte, 0, entriesACheckpoint)
	for entry, err := range next(l.Size()) {
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

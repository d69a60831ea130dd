package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// ErrOlder says that a later checkpoint has been cosigned already.
var ErrOlder = errors.New("audit: a later checkpoint of the log has been cosigned already")

// Answer returns what a witness answers a request with, of the checkpoint that it
// has cosigned: the line of its signature, which is the last (c2sp.org/tlog-witness).
func Answer(cosigned []byte) []byte {
	return cosigned[bytes.LastIndexByte(bytes.TrimSuffix(cosigned, []byte("\n")), '\n')+1:]
}

// Cosigned returns the checkpoint of a request with the lines of a witness's answer.
// It verifies nothing: ParseCheckpoint does.
func (c *Consistency) Cosigned(answer []byte) []byte { return slices.Concat(c.Checkpoint, answer) }

// PublishCosigned is Log.Publish for whoever does not have the log open. It waits
// for another writer until ctx is over.
func PublishCosigned(ctx context.Context, dir string, signer *Signer, content Content, cosigned []byte, q Quorum) (kept *Checkpoint, err error) {
	l, err := openWhenFree(ctx, dir, signer, content)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Publish(cosigned, q)
}

// Publish keeps a checkpoint of this log that the quorum's witnesses have cosigned,
// for ReadCosigned: the latest, or an earlier one, since a log grows while witnesses
// take their time. It has their signatures then and nobody else's. Those that come
// one after the other for one checkpoint add up; a later checkpoint replaces it. It
// refuses with ErrWitnesses, ErrRollback, ErrFork or ErrOlder.
func (l *Log) Publish(cosigned []byte, q Quorum) (kept *Checkpoint, err error) {
	log := l.signer.Verifier()
	c, err := ParseCheckpoint(cosigned, log, q)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed {
		return nil, errFailed
	}
	if err := (&Tree{l.w.files(), l.head}).Extends(c); err != nil {
		return nil, err
	}
	sigs, err := l.addUp(c, q.Of)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: c.note.Text, Sigs: sigs})
	if err != nil {
		return nil, errCheckpoint
	}
	if err := l.keepCosigned(c, signed); err != nil {
		return nil, err
	}
	return ParseCheckpoint(signed, log, Quorum{Of: q.Of})
}

// addUp returns the checkpoint's signatures and those of the witnesses that are kept
// of the same one.
func (l *Log) addUp(c *Checkpoint, of []*WitnessKey) ([]note.Signature, error) {
	t, err := ReadCosigned(l.w.files(), l.signer.Verifier(), Quorum{Of: of})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.note.Sigs, nil
	case err != nil:
		return nil, fmt.Errorf("audit: what is kept of the witnesses: %w", err)
	case t.head.Size > c.Size:
		return nil, ErrOlder
	case t.head.Size < c.Size:
		return c.note.Sigs, nil
	}
	sigs := slices.Clone(t.head.note.Sigs)
	for _, s := range c.note.Sigs {
		i := slices.IndexFunc(sigs, func(of note.Signature) bool { return of.Name == s.Name && of.Hash == s.Hash })
		if i < 0 {
			sigs = append(sigs, s)
		} else {
			sigs[i] = s
		}
	}
	return sigs, nil
}

// keepCosigned writes the checkpoint down, and in the place of the log's own while
// that is the same one.
func (l *Log) keepCosigned(c *Checkpoint, signed []byte) error {
	if err := l.w.put(cosignedFile, newFile, signed); err != nil {
		return err
	}
	if c.note.Text == l.head.note.Text {
		return l.publish(signed, newCheckpoint)
	}
	return l.w.settle()
}

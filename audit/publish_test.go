package audit

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"sync"
	"testing"
	"time"
)

// from yields entries from..n-1, as entriesFrom makes them.
func upTo(n int) func(from int64) iter.Seq2[[]byte, error] {
	return func(from int64) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, e := range entriesFrom(int(from), max(0, n-int(from))) {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Many publish at once what one outbox has: each entry is there once, in order.
func TestPublishTakesTurns(t *testing.T) {
	dir := t.TempDir()
	signer := signerNamed(t, origin, 1)
	var all sync.WaitGroup
	for n := 1; n <= 9; n++ {
		grown := func(from int64) iter.Seq2[[]byte, error] { return upTo(max(n*500, int(from)+1))(from) }
		all.Go(func() {
			if _, err := Publish(context.Background(), dir, signer, AnyBytes, grown); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	size, err := Publish(context.Background(), dir, signer, AnyBytes, upTo(9000))
	if err != nil || size != 9000 {
		t.Fatalf("size %d, %v", size, err)
	}
	report, err := Verify(os.DirFS(dir), Expect{Log: signer.Verifier()})
	if err != nil || report.Size != 9000 {
		t.Errorf("%+v, %v", report, err)
	}
	i := 0
	for e, err := range mustRead(t, dir).Entries(0) {
		if err != nil || string(e) != string(entriesFrom(i, 1)[0]) {
			t.Fatalf("entry %d: %q, %v", i, e, err)
		}
		i++
	}
}

func mustRead(t *testing.T, dir string) *Tree {
	t.Helper()
	tree, err := Read(os.DirFS(dir), ownLog(t), Quorum{})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestPublishWaitsAsLongAsItMay(t *testing.T) {
	dir := t.TempDir()
	openLog(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := Publish(ctx, dir, signerNamed(t, origin, 1), AnyBytes, upTo(1)); !errors.Is(err, ErrLocked) {
		t.Errorf("with another writer: %v", err)
	}
}

// What came before a failure is not lost, and nothing is there twice.
func TestPublishGoesOnAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	signer := signerNamed(t, origin, 1)
	broken := errors.New("broken")
	_, err := Publish(context.Background(), dir, signer, AnyBytes, func(from int64) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, e := range entriesFrom(0, entriesACheckpoint+5) {
				if !yield(e, nil) {
					return
				}
			}
			yield(nil, broken)
		}
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	size, err := Publish(context.Background(), dir, signer, AnyBytes, upTo(entriesACheckpoint+5))
	if err != nil || size != entriesACheckpoint+5 {
		t.Errorf("size %d, %v", size, err)
	}
}

// A log does not go on from a store that lacks its last entry, wherever tiles end.
func TestPublishFromAnotherStore(t *testing.T) {
	for _, size := range []int{1, 2, tileWidth, tileWidth + 1} {
		dir := t.TempDir()
		signer := signerNamed(t, origin, 1)
		if _, err := Publish(context.Background(), dir, signer, AnyBytes, upTo(size)); err != nil {
			t.Fatal(err)
		}
		before := mustRead(t, dir).Checkpoint().Bytes()
		changed := func(from int64) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for e, err := range upTo(size + 3)(from) {
					if !yield(append(e, "!"...), err) {
						return
					}
				}
			}
		}
		for what, c := range map[string]struct {
			store func(int64) iter.Seq2[[]byte, error]
			want  error
		}{"an empty one": {upTo(0), ErrBehind}, "an older one": {upTo(size - 1), ErrBehind}, "one that went another way": {changed, ErrApart}, "the same": {upTo(size), nil}} {
			if n, err := Publish(context.Background(), dir, signer, AnyBytes, c.store); !errors.Is(err, c.want) || n != int64(size) {
				t.Errorf("%d entries, and the store is %s: size %d, %v", size, what, n, err)
			}
		}
		if !bytes.Equal(mustRead(t, dir).Checkpoint().Bytes(), before) {
			t.Errorf("%d entries: the log has changed", size)
		}
		if n, err := Publish(context.Background(), dir, signer, AnyBytes, upTo(size+3)); err != nil || n != int64(size+3) {
			t.Errorf("%d entries, and the store goes on: size %d, %v", size, n, err)
		}
	}
}

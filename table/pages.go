package table

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sort"

	"github.com/overlap-psi/overlap/psi"
)

// A table that stays with its reader is kept as pages of tokens, so that a join
// with few queries reads few of them. Beside them stand sums, by which a page is
// found, and known to be what was written:
//
//	pages  n × token
//	sums   name(32) ‖ pages × ( first token ‖ SHA-256(page)[0:16] ) ‖ SHA-256 of all before
//
// Who can change both files can change the program, too: this is against disks
// and accidents, which may leave a file's length and time as they were.
const (
	pageTokens = 512
	pageSum    = 16
)

// ErrPages says that pages or sums are not what was written.
var ErrPages = errors.New("table: a table kept on this disk has changed since it was verified")

func sumOf(page []byte) []byte {
	s := sha256.Sum256(page)
	return s[:pageSum]
}

// PageWriter writes pages and their sums.
type PageWriter struct {
	pages    io.Writer
	sums     io.Writer
	all      hash.Hash
	tokenLen int
	page     []byte
}

// NewPageWriter returns a writer of pages of tokens. The name stands in the sums.
func NewPageWriter(pages, sums io.Writer, tokenLen int, name [32]byte) (*PageWriter, error) {
	w := &PageWriter{pages: pages, all: sha256.New(), tokenLen: tokenLen}
	w.sums = io.MultiWriter(sums, w.all)
	if _, err := w.sums.Write(name[:]); err != nil {
		return nil, fmt.Errorf("table: write sums: %w", err)
	}
	return w, nil
}

// Add adds tokens, in the table's order.
func (w *PageWriter) Add(tokens []byte) error {
	for full := pageTokens * w.tokenLen; len(tokens) > 0; {
		n := min(len(tokens), full-len(w.page))
		w.page = append(w.page, tokens[:n]...)
		tokens = tokens[n:]
		if len(w.page) == full {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *PageWriter) flush() error {
	if len(w.page) == 0 {
		return nil
	}
	if _, err := w.pages.Write(w.page); err != nil {
		return fmt.Errorf("table: write pages: %w", err)
	}
	if _, err := w.sums.Write(append(bytes.Clone(w.page[:w.tokenLen]), sumOf(w.page)...)); err != nil {
		return fmt.Errorf("table: write sums: %w", err)
	}
	w.page = w.page[:0]
	return nil
}

// Close writes what is left. The files are the caller's.
func (w *PageWriter) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	if _, err := w.sums.Write(w.all.Sum(nil)); err != nil {
		return fmt.Errorf("table: write sums: %w", err)
	}
	return nil
}

// Pages are a table as a PageWriter has written it.
type Pages struct {
	r        io.ReaderAt
	tokenLen int
	entries  uint64
	sums     []byte // of the pages: 30 bytes for 512 tokens of 14
	page     []byte // the one at hand
	at       int    // which that is
}

// OpenPages returns the pages in r of a table with so many entries. It reads the
// sums, and of the table nothing. If they are not of the name and the sizes, the
// error wraps ErrPages.
func OpenPages(r io.ReaderAt, sums io.Reader, tokenLen int, entries uint64, name [32]byte) (*Pages, error) {
	if tokenLen < 1 || tokenLen > len(psi.Token{}) || entries == 0 || entries > 1<<40 {
		return nil, errors.New("table: a size that no table has")
	}
	p := &Pages{r: r, tokenLen: tokenLen, entries: entries, at: -1}
	size := len(name) + p.len()*p.sumLen() + sha256.Size
	b, err := io.ReadAll(io.LimitReader(sums, int64(size)+1))
	if err != nil {
		return nil, fmt.Errorf("table: read sums: %w", err)
	}
	if len(b) != size {
		return nil, ErrPages
	}
	body := b[:size-sha256.Size]
	if all := sha256.Sum256(body); !bytes.Equal(all[:], b[len(body):]) || !bytes.Equal(name[:], b[:len(name)]) {
		return nil, ErrPages
	}
	p.sums = body[len(name):]
	return p, nil
}

// len is the number of pages.
func (p *Pages) len() int { return int((p.entries + pageTokens - 1) / pageTokens) }

func (p *Pages) sumLen() int { return p.tokenLen + pageSum }

// first is the token that a page begins with.
func (p *Pages) first(i int) []byte { return p.sums[i*p.sumLen():][:p.tokenLen] }

// find returns the only page that may have the token; −1 if none may.
func (p *Pages) find(token []byte) int {
	return sort.Search(p.len(), func(i int) bool { return bytes.Compare(p.first(i), token) > 0 }) - 1
}

// read returns a page, until the next call.
func (p *Pages) read(i int) ([]byte, error) {
	if i == p.at {
		return p.page, nil
	}
	from := uint64(i) * pageTokens
	p.at, p.page = -1, resize(p.page, int(min(pageTokens, p.entries-from))*p.tokenLen)
	if n, err := p.r.ReadAt(p.page, int64(from)*int64(p.tokenLen)); n < len(p.page) {
		if errors.Is(err, io.EOF) {
			return nil, ErrPages
		}
		return nil, fmt.Errorf("table: read pages: %w", err)
	}
	if !bytes.Equal(sumOf(p.page), p.sums[i*p.sumLen()+p.tokenLen:][:pageSum]) {
		return nil, ErrPages
	}
	p.at = i
	return p.page, nil
}

// MatchPages is Match where the table is kept in pages: it reads each page that
// may have one of the queries once, and no other. The time it takes follows the
// queries, as long as there are few to a page, and never more than the table.
func (q *Queries) MatchPages(ctx context.Context, p *Pages) (*Matches, error) {
	if q.p.err != nil {
		return nil, q.p.err
	}
	if p.tokenLen != q.o.TokenLen {
		return nil, errors.New("table: match: tokens of another length")
	}
	j := join{q: q, matches: newMatches(q.size), bucket: -1}
	defer j.clear()
	for i := range buckets {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("table: match: %w", err)
		}
		if err := j.load(i); err != nil {
			return nil, err
		}
		if err := j.probe(p); err != nil {
			return nil, err
		}
	}
	return j.matches, nil
}

// probe joins the bucket at hand.
func (j *join) probe(p *Pages) error {
	for len(j.own) > 0 {
		i := p.find(j.own[:p.tokenLen])
		if i >= 0 {
			page, err := p.read(i)
			if err != nil {
				return err
			}
			MatchBucket(j.own, page, p.tokenLen, p.tokenLen, j.matches.add)
		}
		if i+1 == p.len() {
			return nil
		}
		// On to the first that the next page may have.
		next, size := p.first(i+1), RecordLen(p.tokenLen)
		n := sort.Search(len(j.own)/size, func(k int) bool { return bytes.Compare(j.own[k*size:][:p.tokenLen], next) >= 0 })
		j.own = j.own[n*size:]
	}
	return nil
}

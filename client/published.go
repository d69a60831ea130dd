package client

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"time"

	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// StepFetch is the download of a published table, in entries.
const StepFetch session.Step = "fetch"

// ErrNoTables says that a policy has labels, or no mode for published tables.
var ErrNoTables = fmt.Errorf("client: no tables are published for this policy, since it has labels (label_len); "+
	"let the platform make a table for the session: %w", psi.AbortTerms)

// ErrTableOver says that the platform does not answer under a published table any
// more, or not yet under another.
var ErrTableOver = errors.New("client: the platform does not answer under this table any more; match again to fetch its next one " +
	"(a directory that tables come from has to have it)")

// ErrNoTable says that the platform has no published table for the policy: none yet,
// none whose witnesses have answered, or none any more. It does not tell which.
var ErrNoTable = errors.New("client: the platform has published no table for this policy, or its time is over")

// ErrNoCopy says that a directory that tables are to come from has none for the policy.
var ErrNoCopy = errors.New("client: there is no copy of a table that the platform has published for this policy")

// ErrDownload says that the connection broke while a published table came. What had
// come is kept: the next match fetches the rest.
var ErrDownload = errors.New("client: the download of the platform's table broke off")

// source is where a published table comes from: its manifest with what proves that
// it is in the log, and the bodies of its shards from one on.
type source struct {
	m        *publication.Manifest
	proof    []byte
	platform ed25519.PublicKey
	shards   func(first int) iter.Seq2[[]byte, error]
}

// fetch makes sure that the table which the platform now has for the policy is in
// the cache, and is what it ought to be. Nothing is asked before that.
func (r *run) fetch(ctx context.Context) error {
	c := &r.c.c
	from, err := r.c.source(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := from.m.Check(c.Policy, c.Platform, now); err != nil {
		return err
	}
	if err := from.m.CheckLogged(from.proof, c.Policy, from.platform, c.Witnesses); err != nil {
		return err
	}
	hash := from.m.Hash()
	r.report.Table = hex.EncodeToString(hash[:])
	dir := c.tables()
	r.copy, err = publication.Fetch(ctx, dir, from.m, from.shards, func(done, total uint64) { r.c.progress(StepFetch, done, total) })
	if err != nil {
		return err
	}
	return publication.Prune(dir, from.platform, now)
}

// tables is where the tables of this platform and policy are kept.
func (c *Config) tables() string {
	return filepath.Join(c.Tables, c.Platform.String(), identity.ID(c.Policy.Hash()).String())
}

func (c *Client) source(ctx context.Context) (*source, error) {
	dir := c.c.TablesFrom
	if dir == "" {
		from, err := c.fromPlatform(ctx)
		return from, meaning(err, psi.AbortTable, ErrNoTable)
	}
	from, err := c.fromDir(dir)
	if errors.Is(err, publication.ErrNone) {
		return nil, &meant{fmt.Errorf("%w: %s", ErrNoCopy, dir), err}
	}
	return from, err
}

// fromDir is a directory of what the platform has published.
func (c *Client) fromDir(dir string) (*source, error) {
	key, err := publication.Key(dir, c.c.Platform)
	if err != nil {
		return nil, err
	}
	id, err := publication.Current(dir, c.c.Policy.Hash())
	if err != nil {
		return nil, err
	}
	path := publication.Path(dir, id)
	m, err := publication.Load(path, key)
	if err != nil {
		return nil, err
	}
	proof, err := publication.Proof(path)
	if err != nil {
		return nil, err
	}
	return &source{m, proof, key, func(first int) iter.Seq2[[]byte, error] { return publication.Shards(path, first) }}, nil
}

// fromPlatform asks for the manifest alone first: the table may be in the cache.
func (c *Client) fromPlatform(ctx context.Context) (*source, error) {
	d, err := c.download(ctx, nil, table.Shards)
	if err != nil {
		return nil, err
	}
	d.cancel()
	m, err := publication.Parse(d.manifest, d.sig, d.platform)
	if err != nil {
		return nil, err
	}
	id := m.TableID
	return &source{m, d.proof, d.platform, func(first int) iter.Seq2[[]byte, error] { return c.shards(ctx, id, first) }}, nil
}

// patience is how long the platform may take for one frame of a table.
const patience = 2 * time.Minute

// shards are the table's bodies from one shard on, as the platform sends them.
func (c *Client) shards(ctx context.Context, id [32]byte, first int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if first == table.Shards {
			return
		}
		d, err := c.download(ctx, id[:], first)
		if err != nil {
			yield(nil, err)
			return
		}
		defer d.cancel()
		for seq := uint32(0); ; seq++ {
			f, err := d.frame(psi.FrameShards, seq)
			if errors.Is(err, io.EOF) || !yield(f.Body, err) || err != nil {
				return
			}
		}
	}
}

// download is a call of Tables of which MANIFEST and PROOF have come.
type download struct {
	stream               ampsiv1.Match_TablesClient
	cancel               context.CancelFunc
	platform             ed25519.PublicKey
	manifest, sig, proof []byte
}

func (c *Client) download(ctx context.Context, id []byte, first int) (*download, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &download{cancel: cancel}
	var err error
	d.stream, err = c.match.Tables(ctx, &ampsiv1.TableRequest{TableId: id, Universe: c.c.Policy.Universe, FirstShard: uint32(first)})
	if err != nil {
		err = refusal(c.conn, err)
	} else {
		err = d.head(c)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return d, nil
}

func (d *download) head(c *Client) error {
	m, err := d.frame(psi.FrameManifest, 0)
	if err != nil {
		return err
	}
	at, err := c.platform(d.stream.Context())
	if err != nil {
		return err
	}
	d.platform, d.manifest, d.sig = at.Public, m.Body, m.Sig
	p, err := d.frame(psi.FrameProof, 0)
	if err == nil {
		d.proof = p.Body
	}
	return err
}

// frame reads the next frame, which has to be of the type. io.EOF is the end.
func (d *download) frame(want psi.FrameType, seq uint32) (psi.Frame, error) {
	timer := time.AfterFunc(patience, d.cancel)
	defer timer.Stop()
	m, err := d.stream.Recv()
	switch {
	case errors.Is(err, io.EOF) && want == psi.FrameShards:
		return psi.Frame{}, io.EOF
	case err != nil && want == psi.FrameShards:
		return psi.Frame{}, fmt.Errorf("%w: %w: %v", ErrDownload, session.ErrBroken, status.Code(err))
	case err != nil:
		return psi.Frame{}, fmt.Errorf("client: the table's download: %w: %v", session.ErrBroken, status.Code(err))
	}
	f, err := session.DecodeFrame(m)
	switch {
	case err != nil:
		return psi.Frame{}, fmt.Errorf("client: the table's download: %w", err)
	case f.Type != want || f.Seq != seq:
		return psi.Frame{}, fmt.Errorf("client: the table's download is out of order: %w", psi.AbortMalformed)
	}
	return f, nil
}

// tableOver says what it means that a platform refuses a table that was verified.
func (r *run) tableOver(err error) error {
	if r.copy == nil {
		return err
	}
	return meaning(err, psi.AbortTable, ErrTableOver)
}

// published is the table that a session is about; nil: the session's own.
func (r *run) published() *session.Published {
	if r.copy == nil {
		return nil
	}
	return r.copy.Manifest().Session()
}

// epoch is the one that questions are charged to: a published table's key has one
// budget, however long it is answered under.
func (r *run) epoch() uint64 {
	if r.copy == nil {
		return r.c.c.Policy.Epoch(time.Now())
	}
	return r.c.c.Policy.Epoch(r.copy.Manifest().NotBefore)
}

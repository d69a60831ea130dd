package evidence

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// What is kept of a session is a directory, 0700, named by its sid, with four
// files, 0600, which never change: 72 bytes a position and 132 a chunk of 16 384.
//
//	leaves    leaf hash(32) ‖ I2OSP(fact,8) of each position; a pad has fact 0
//	blinded   the elements, 32 bytes each: the bodies of BLINDED, one after the other
//	receipt   what both companies had signed when the platform signed SEAL
//	digests   I2OSP(type,1) ‖ I2OSP(sender,1) ‖ SHA-512(body) of BLINDED_0, EVALUATED_0, …
const (
	leavesName  = "leaves"
	blindedName = "blinded"
	digestsName = "digests"
	receiptName = "receipt"

	unsealed = ".unsealed" // after the name, while the session runs
)

// Writer keeps one session, as it runs, under a name that says that it is not
// sealed yet. It is not safe for concurrent use.
type Writer struct {
	dir, final      string // the directory, now and once sealed
	leaves, blinded *rows
	sealed          bool
}

// Create starts to keep the session of this sid below dir, which is made if need
// be. The caller closes the Writer.
func Create(dir string, sid [32]byte) (*Writer, error) {
	final := sessionDir(dir, sid)
	w := &Writer{dir: final + unsealed, final: final}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	var err1, err2 error
	w.leaves, err1 = createRows(filepath.Join(w.dir, leavesName))
	w.blinded, err2 = createRows(filepath.Join(w.dir, blindedName))
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func sessionDir(dir string, sid [32]byte) string {
	return filepath.Join(dir, hex.EncodeToString(sid[:]))
}

// Leaf keeps the next leaf of the snapshot: its hash, and the fact that it was
// made from, 0 of a pad.
func (w *Writer) Leaf(leaf [32]byte, fact uint64) error {
	row := append(w.leaves.w.AvailableBuffer(), leaf[:]...) // an array would be one for each leaf
	return w.leaves.write(binary.BigEndian.AppendUint64(row, fact))
}

// Blinded keeps the body of the next BLINDED frame.
func (w *Writer) Blinded(body []byte) error { return w.blinded.write(body) }

var errSeal = errors.New("evidence: leaves, elements and digests of a session differ in number")

// Seal keeps the digests of the transcript up to the last EVALUATED, and with
// them the session: it is durable, and under its final name, before it returns.
// That is the moment to send SEAL, from which on the session must be answered
// for. The receipt is up to that SEAL. Nothing can be added any more.
func (w *Writer) Seal(digests []psi.FrameDigest, r *receipt.Receipt) error {
	size := w.leaves.size / rowLen
	chunks := (size + psi.ChunkElems - 1) / psi.ChunkElems
	if size == 0 || w.leaves.size%rowLen != 0 || w.blinded.size != size*int64(elementLen) || int64(len(digests)) != 2*chunks {
		return errSeal
	}
	err := errors.Join(w.keep(digestsName, appendDigests(nil, digests)), w.keep(receiptName, r.UpToSeal().Bytes()))
	if err := errors.Join(err, w.leaves.finish(), w.blinded.finish(), pending.SyncDir(w.dir)); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if err := os.Rename(w.dir, w.final); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	w.sealed = true
	return pending.SyncDir(filepath.Dir(w.final))
}

// keep writes a whole file.
func (w *Writer) keep(name string, content []byte) error {
	f, err := createRows(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	return errors.Join(f.write(content), f.finish())
}

// Receipt returns the receipt, up to SEAL, of a session that was sealed. The error
// wraps fs.ErrNotExist if none was.
func Receipt(dir string, sid [32]byte) (*receipt.Receipt, error) {
	file, err := os.ReadFile(filepath.Join(sessionDir(dir, sid), receiptName))
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return receipt.Parse(file)
}

// Close removes what was kept unless the session was sealed. It may be called
// again.
func (w *Writer) Close() error {
	if w == nil || w.sealed {
		return nil
	}
	err := errors.Join(w.leaves.close(), w.blinded.close(), os.RemoveAll(w.dir))
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// Sweep removes what a crash left of sessions that were not sealed. No session
// runs meanwhile.
func Sweep(dir string) error {
	kept, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, session := range kept {
		if strings.HasSuffix(session.Name(), unsealed) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, session.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// Remove removes what was kept of a session, such as after the policy's
// retention_days. Nobody can be shown anything of it any more.
func Remove(dir string, sid [32]byte) error {
	if err := os.RemoveAll(sessionDir(dir, sid)); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// rows is a file that is written once, from its beginning to its end.
type rows struct {
	f    *os.File
	w    *bufio.Writer
	size int64 // bytes
}

func createRows(name string) (*rows, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return &rows{f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

func (r *rows) write(b []byte) error {
	n, err := r.w.Write(b)
	r.size += int64(n)
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// finish makes the file durable and closes it.
func (r *rows) finish() error {
	return errors.Join(r.w.Flush(), r.f.Sync(), r.close())
}

// close may be called again, and of a file that could not be made.
func (r *rows) close() error {
	if r == nil || r.f == nil {
		return nil
	}
	f := r.f
	r.f = nil
	return f.Close()
}

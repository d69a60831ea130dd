package session

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// A body of the longest that its type may have is read, one of a byte more is
// malformed; and the longest message that a session has of each is shorter.
func TestLongestBodies(t *testing.T) {
	for f := range psi.FrameProof + 1 {
		if f == psi.FrameAbort {
			continue // any but of one byte is malformed
		}
		m := &ampsiv1.Frame{Type: uint32(f), Body: make([]byte, f.MaxBody())}
		if f.Signed() {
			m.Sig = make([]byte, 64)
		}
		if _, err := DecodeFrame(m); err != nil {
			t.Errorf("%v of %d bytes: %v", f, len(m.Body), err)
		}
		m.Body = append(m.Body, 0)
		if _, err := DecodeFrame(m); !errors.Is(err, psi.AbortMalformed) {
			t.Errorf("%v of %d bytes: %v", f, len(m.Body), err)
		}
	}
	const most = 1<<64 - 1
	hash, name := make([]byte, 32), strings.Repeat("n", 64)
	terms := &ampsiv1.Terms{Version: most >> 32, Suite: most >> 32, Mode: most >> 32, Purpose: most >> 32, Classes: make([]byte, 16),
		ChunkElems: most >> 32, TokenLen: most >> 32, LabelLen: most >> 32, QuerierId: hash, HolderId: hash, QuerierParty: most >> 32,
		HolderParty: most >> 32, PolicyHash: hash, Universe: name, TableKind: most >> 32, Release: true, Claims: true, Audience: name}
	for f, m := range map[psi.FrameType]proto.Message{
		psi.FrameHello: &ampsiv1.Hello{Version: most >> 32, Mode: most >> 32, PolicyHash: hash, Universe: name, Classes: make([]byte, 16),
			LabelLen: most >> 32, TableKind: most >> 32, TableId: hash, Release: true, Audience: name, ResumeSid: hash},
		psi.FrameOpenQ: &ampsiv1.OpenQ{Terms: terms, Nonce: hash, NotAfter: most, QHat: most, ConsentRoot: hash, TlsExporter: hash},
		psi.FrameOpenH: &ampsiv1.OpenH{Terms: terms, Nonce: hash, NotAfter: most, OpenQHash: hash, PkS: hash, TableId: hash, TableRoot: hash,
			NHat: most, ConsentRoot: hash, TlsExporter: hash, ManifestHash: hash, ConsentSize: most},
		psi.FrameManifest: &ampsiv1.Manifest{HolderId: hash, TableId: hash, PkS: hash, Purpose: most >> 32, Classes: make([]byte, 16),
			TokenLen: most >> 32, LabelLen: most >> 32, NHat: most, TableRoot: hash, ConsentRoot: hash, NotBefore: most, NotAfter: most,
			Universe: name, ConsentSize: most},
		psi.FrameReceipt: &ampsiv1.Receipt{Sid: hash, Th: make([]byte, 64), QHat: most, NHat: most, TableRoot: hash, ConsentRoot: hash,
			Outcome: most >> 32, Time: most},
	} {
		if n := proto.Size(m); n > f.MaxBody()/4 {
			t.Errorf("%v can have %d bytes, and %d are allowed", f, n, f.MaxBody())
		}
	}
}

// What a partner sends on a call that resumes a session stays unread until that
// session has turned to the call.
func TestCallThatResumesIsNotReadAhead(t *testing.T) {
	a, p := newPipe()
	defer a.close()
	hello, err := proto.Marshal(&ampsiv1.Hello{Version: version, ResumeSid: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	const more = 5
	a.send <- &ampsiv1.Frame{Type: uint32(psi.FrameHello), Body: hello}
	for range more {
		a.send <- &ampsiv1.Frame{Type: uint32(psi.FrameResume)}
	}
	c := pair().querierConfig()
	c.GiveUp = make(chan struct{})
	call, err := Accept(t.Context(), p, c)
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if _, ok := call.Resumes(); !ok || len(p.recv) != more {
		t.Errorf("%d of %d frames are unread", len(p.recv), more)
	}
	call.ch.ch.readAhead()
	for range more {
		if _, err := call.ch.ch.recv(t.Context(), psi.FrameResume, patience); err != nil {
			t.Fatal(err)
		}
	}
}

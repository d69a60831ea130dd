package client

import (
	"errors"
	"testing"

	"google.golang.org/grpc"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// oneFrame is a call of Tables in which the same frame comes again and again.
type oneFrame struct {
	grpc.ClientStream
	f *ampsiv1.Frame
}

func (s oneFrame) Recv() (*ampsiv1.Frame, error) { return s.f, nil }

// A download refuses what a session refuses of a frame (PROTOCOL.md §5.4, §13).
func TestFramesOfADownload(t *testing.T) {
	unknown := &ampsiv1.Frame{Type: uint32(psi.FrameShards), Body: []byte{1}}
	unknown.ProtoReflect().SetUnknown([]byte{0xfa, 0x01, 0x01, 'x'})
	abort := func(body ...byte) *ampsiv1.Frame { return &ampsiv1.Frame{Type: uint32(psi.FrameAbort), Body: body} }
	for name, test := range map[string]struct {
		want  psi.FrameType
		frame *ampsiv1.Frame
		code  psi.AbortCode // 0: it is taken
		peers bool          // the platform gave the code
	}{
		"SHARDS":                    {psi.FrameShards, &ampsiv1.Frame{Type: uint32(psi.FrameShards), Body: []byte{1}}, 0, false},
		"an unknown field":          {psi.FrameShards, unknown, psi.AbortMalformed, false},
		"signed SHARDS":             {psi.FrameShards, &ampsiv1.Frame{Type: uint32(psi.FrameShards), Sig: make([]byte, 64)}, psi.AbortMalformed, false},
		"MANIFEST, not signed":      {psi.FrameManifest, &ampsiv1.Frame{Type: uint32(psi.FrameManifest)}, psi.AbortMalformed, false},
		"MANIFEST, cut signature":   {psi.FrameManifest, &ampsiv1.Frame{Type: uint32(psi.FrameManifest), Sig: make([]byte, 5)}, psi.AbortMalformed, false},
		"MANIFEST":                  {psi.FrameManifest, &ampsiv1.Frame{Type: uint32(psi.FrameManifest), Sig: make([]byte, 64)}, 0, false},
		"PROOF":                     {psi.FrameProof, &ampsiv1.Frame{Type: uint32(psi.FrameProof)}, 0, false},
		"a type above PROOF":        {psi.FrameProof, &ampsiv1.Frame{Type: uint32(psi.FrameProof) + 1}, psi.AbortMalformed, false},
		"MANIFEST, too long":        {psi.FrameManifest, &ampsiv1.Frame{Type: uint32(psi.FrameManifest), Sig: make([]byte, 64), Body: make([]byte, 4097)}, psi.AbortMalformed, false},
		"PROOF for SHARDS":          {psi.FrameShards, &ampsiv1.Frame{Type: uint32(psi.FrameProof)}, psi.AbortMalformed, false},
		"another seq":               {psi.FrameShards, &ampsiv1.Frame{Type: uint32(psi.FrameShards), Seq: 1}, psi.AbortMalformed, false},
		"ABORT 8":                   {psi.FrameShards, abort(8), psi.AbortTable, true},
		"ABORT of no code":          {psi.FrameShards, abort(200), psi.AbortMalformed, true},
		"ABORT of more than a byte": {psi.FrameShards, abort(8, 8), psi.AbortMalformed, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := &download{stream: oneFrame{f: test.frame}, cancel: func() {}}
			_, err := d.frame(test.want, 0)
			if test.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var peers *session.PeerAbort
			if got := errors.As(err, &peers); err == nil || got != test.peers {
				t.Fatalf("error %v; the platform's ABORT: %v", err, got)
			}
			if peers != nil && peers.Code != test.code || peers == nil && !errors.Is(err, test.code) {
				t.Errorf("error %v; want %v", err, test.code)
			}
		})
	}
}

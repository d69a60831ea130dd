package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// Each side, if the other's policy differs, can say which two there are; a hash of
// another length is no policy's.
func TestPoliciesThatDiffer(t *testing.T) {
	ours := fastPolicy()
	s := &Session{c: Config{Policy: ours}}
	hash := ours.Hash()
	s.terms = &ampsiv1.Terms{Version: version, Suite: suite, ChunkElems: psi.ChunkElems, PolicyHash: hash[:]}
	theirs := [32]byte{7}
	hello := &ampsiv1.Hello{Version: version, Mode: uint32(psi.ALearns)} // what a policy says comes later
	terms := proto.Clone(s.terms).(*ampsiv1.Terms)
	for name, check := range map[string]func(hash []byte) error{
		"HELLO": func(hash []byte) error { hello.PolicyHash = hash; return s.checkHello(hello) },
		"OPEN":  func(hash []byte) error { terms.PolicyHash = hash; return s.checkTerms(terms) },
	} {
		err := check(theirs[:])
		var differ *PolicyError
		if !errors.As(err, &differ) || differ.Ours != hash || differ.Theirs != theirs || Code(err) != psi.AbortTerms {
			t.Errorf("%s: %v", name, err)
		}
		if text := err.Error(); !strings.Contains(text, fmt.Sprintf("%x", hash)) || !strings.Contains(text, fmt.Sprintf("%x", theirs)) {
			t.Errorf("%s: %s does not name both", name, text)
		}
		for _, short := range [][]byte{nil, theirs[:31], append(theirs[:], 0)} {
			if err := check(short); errors.As(err, &differ) || Code(err) != psi.AbortTerms {
				t.Errorf("%s: %d bytes: %v", name, len(short), err)
			}
		}
	}
}

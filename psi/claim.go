package psi

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
)

// ClaimTagLen is the length in bytes of a claim's tag.
const ClaimTagLen = 16

// ClaimTag proves to the Holder of session sid that the claimant has the whole
// output, not only its token (PROTOCOL.md §8.3).
func (o *Output) ClaimTag(sid *[32]byte) (tag [ClaimTagLen]byte) {
	var scratch [128]byte
	b := lv(scratch[:0], "AMPSI-V01-claim")
	b = lv(b, sid[:])
	b = append(b, 1)
	b = lv(b, o.tail())
	full := sha512.Sum512(b)
	copy(tag[:], full[:])
	clear(scratch[:])
	return tag
}

// ClaimChunk returns the number of claims in a full CLAIMS frame (PROTOCOL.md §8.3).
func ClaimChunk(tokenLen int) int {
	return min(ChunkElems, maxChunkBody/(tokenLen+ClaimTagLen))
}

// claims is how far the claims of a session have come, on either side.
type claims struct {
	seq  uint32
	n    uint64 // claims so far
	last Token  // of them, if n > 0
}

// follows reports whether a token is above all that were claimed, and takes it.
func (c *claims) follows(t *Token) bool {
	if c.n > 0 && bytes.Compare(c.last[:], t[:]) >= 0 {
		return false
	}
	c.last, c.n = *t, c.n+1
	return true
}

// claiming returns an error unless it is time for CLAIMS.
func (r *round) claiming() error {
	if err := r.in(tableDone, "CLAIMS"); err != nil {
		return err
	}
	if !r.p.Claims {
		return r.fail(fmt.Errorf("psi: session has no claims: %w", AbortMalformed))
	}
	return nil
}

// addClaims takes a CLAIMS body into the transcript. The first that is not full
// is the last, so that there always is one.
func (r *round) addClaims(body []byte) {
	r.th.add(FrameClaims, SenderQuerier, body)
	r.claims.seq++
	if len(body) < ClaimChunk(r.p.TokenLen)*(r.p.TokenLen+ClaimTagLen) {
		r.state = claimed
	}
}

// Claim makes the next CLAIMS frame: it tells the Holder which of its entries
// matched, of those that the Querier chooses to tell. Tokens increase strictly
// over the whole session. A frame takes ClaimChunk outputs; one with fewer, or
// none, is the last. It is possible only when all is verified.
func (q *Querier) Claim(matched []Output) (Frame, error) {
	if err := q.claiming(); err != nil {
		return Frame{}, err
	}
	if len(matched) > ClaimChunk(q.p.TokenLen) {
		return Frame{}, q.fail(fmt.Errorf("psi: more claims than a frame holds: %w", AbortInternal))
	}
	body := make([]byte, 0, len(matched)*(q.p.TokenLen+ClaimTagLen))
	for i := range matched {
		token := matched[i].Token(q.p.TokenLen)
		if matched[i].IsZero() || !q.claims.follows(&token) || q.claims.n > q.p.Queries {
			return Frame{}, q.fail(fmt.Errorf("psi: claim %d is a pad's, out of order or too many: %w", i, AbortInternal))
		}
		body = q.appendClaim(body, &matched[i])
	}
	f := Frame{Type: FrameClaims, Seq: q.claims.seq, Body: body}
	q.addClaims(body)
	return f, nil
}

// ClaimAgain returns CLAIMS frame seq as Claim made it of the same outputs, for a
// Holder that lost it with its connection. The session stays as it is.
func (q *Querier) ClaimAgain(seq uint32, matched []Output) Frame {
	body := make([]byte, 0, len(matched)*(q.p.TokenLen+ClaimTagLen))
	for i := range matched {
		body = q.appendClaim(body, &matched[i])
	}
	return Frame{Type: FrameClaims, Seq: seq, Body: body}
}

func (q *Querier) appendClaim(body []byte, matched *Output) []byte {
	token, tag := matched.Token(q.p.TokenLen), matched.ClaimTag(&q.p.SID)
	return append(append(body, token[:q.p.TokenLen]...), tag[:]...)
}

// Claimed reports whether the last CLAIMS frame has been made, or checked.
func (r *round) Claimed() bool { return r.state == claimed }

// CheckClaims checks a CLAIMS frame and returns the tokens claimed: each is an
// entry of the Holder's own table, and the Querier has the whole output of it.
// find returns the input behind a token, or says that no entry is made of one,
// as of a pad; it is asked in increasing order. One claim that fails ends the
// session with AbortClaim (PROTOCOL.md §8.3), and none of the frame counts.
func (h *Holder) CheckClaims(f Frame, find func(Token) (in Input, found bool, err error)) ([]Token, error) {
	if err := h.claiming(); err != nil {
		return nil, err
	}
	if err := h.expect(&f, FrameClaims, h.claims.seq); err != nil {
		return nil, err
	}
	size := h.p.TokenLen + ClaimTagLen
	if len(f.Body)%size != 0 || len(f.Body)/size > ClaimChunk(h.p.TokenLen) {
		return nil, h.fail(fmt.Errorf("psi: CLAIMS %d has another length: %w", f.Seq, AbortMalformed))
	}
	tokens, in, err := h.claimants(f.Body, find)
	if err != nil {
		return nil, h.fail(err)
	}
	out := make([]Output, len(in))
	defer clear(out)
	h.key.Evaluate(out, in)
	same := 1
	for i := range out {
		token, tag := out[i].Token(h.p.TokenLen), out[i].ClaimTag(&h.p.SID)
		claim := f.Body[i*size : (i+1)*size]
		same &= subtle.ConstantTimeCompare(claim[:h.p.TokenLen], token[:h.p.TokenLen])
		same &= subtle.ConstantTimeCompare(claim[h.p.TokenLen:], tag[:])
	}
	if same != 1 {
		return nil, h.fail(fmt.Errorf("psi: CLAIMS %d has a tag that nobody can have who asked: %w", f.Seq, AbortClaim))
	}
	h.addClaims(f.Body)
	return tokens, nil
}

// claimants returns the tokens of a CLAIMS body and the inputs behind them.
func (h *Holder) claimants(body []byte, find func(Token) (Input, bool, error)) (tokens []Token, in []Input, err error) {
	size := h.p.TokenLen + ClaimTagLen
	for ; len(body) > 0; body = body[size:] {
		var token Token
		copy(token[:], body[:h.p.TokenLen])
		if !h.claims.follows(&token) {
			return nil, nil, fmt.Errorf("psi: claims don't strictly increase: %w", AbortClaim)
		}
		if h.claims.n > h.p.Queries {
			return nil, nil, fmt.Errorf("psi: more claims than questions: %w", AbortClaim)
		}
		x, found, err := find(token)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", err, AbortInternal)
		}
		if !found || x.IsZero() {
			return nil, nil, fmt.Errorf("psi: a claim is for no entry of ours: %w", AbortClaim)
		}
		tokens, in = append(tokens, token), append(in, x)
	}
	return tokens, in, nil
}

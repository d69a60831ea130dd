// Package psi is the protocol AMPSI-V01: one of two companies learns who is on
// both of their lists; of the rest each learns how many there are, rounded up.
// It is the verifiable oblivious pseudorandom function of RFC 9497 over
// ristretto255 and a sorted table of tokens. PROTOCOL.md says what every byte is.
//
// One company is Holder: it has a key and a table. The other is Querier: it asks
// and learns. The Mode says which is which. In P_LEARNS, the default, the
// advertiser is Holder and the platform Querier; in A_LEARNS it is the other way
// round. This package knows Holder and Querier only.
//
//	HOLDER                                               QUERIER
//	NewKey                                               NewSeed
//	Key.Evaluate       Input ─▶ Output, Output.Token
//	PadToken           as many as PadSize says
//	TableHash          sorted, committed to
//	                   ◀──────── OPEN_Q ─────────────
//	                   ───────── OPEN_H ────────────▶
//	NewHolder                                            NewQuerier
//
//	                   ◀──────── BLINDED ────────────    Querier.Blind       H(x) + r·G; a pad is r·G
//	Holder.Evaluate    k·B and a proof
//	                   ───────── EVALUATED ─────────▶    Querier.Finalize    the proof, then E − r·K, then Outputs
//	                             … chunk by chunk, no more than Params.Window in flight
//
//	Holder.Seal        ◀──────── SEAL ───────────────    Querier.Seal        what was asked is signed
//	Holder.WriteTable  ───────── TABLE ─────────────▶    Querier.ReadTable   order, size and, at the end, root
//	                                                     Querier.Verified    nil: now matches may be shown
//	Holder.CheckClaims ◀──────── CLAIMS ─────────────    Querier.Claim       its matches, if agreed
//	Holder.Released    ◀──────── RELEASE ────────────    Querier.Released    a noised count, if agreed
//	Transcript         ◀──────── RECEIPT ───────────▶    Transcript          both sign the same
//	Key.Destroy                                          Seed.Destroy
//
// OPEN, SEAL, RELEASE and RECEIPT are made, signed and checked by package
// session, with Sign and VerifySignature; it puts the other frames on the wire
// as they are. A Holder or a Querier is one session. Any call or frame out of
// order and any failed check ends it, and every later call fails; only Verified
// may be asked at any time. The error is or wraps an AbortCode, which is all
// that the peer is told.
//
// # Terms
//
//   - [Input]: one identifier of one class, 44 bytes, called x. It is made from
//     a consent.Eligible and from nothing else. The zero Input is a pad.
//   - [Query]: an Input with the salt that its blind depends on.
//   - [Element]: 32 bytes, an element of the group as it travels. It becomes a
//     point within a call and is never kept as one.
//   - [Key], [PublicKey]: k and K = k·G. One pair serves one session or epoch.
//   - [Output]: the function's value at an Input, 64 bytes, secret.
//   - [Token]: the first bytes of an Output, which travel. Without the key they
//     look random, so the table is sorted, not permuted.
//   - Chunk: up to [ChunkElems] elements in one [Frame], with one [Proof].
//   - [Bind]: what makes a proof one of this chunk of this session.
//   - [Seed]: all blinds of a session.
//   - Transcript: a hash chain over the frames that both sides have seen.
//
// # Aims, in order
//
//  1. The Holder learns of the questions only how many there are. Each element
//     it sees is blinded by a scalar of its own, and of all it is sent only
//     RELEASE, and CLAIMS where both companies agreed on them, depends on matches.
//  2. The Querier learns of the Holder's set only what it asked about. Each
//     question costs an evaluation, and those are counted; the other tokens are
//     noise to it.
//  3. A Holder that deviates is found. One proven K holds for all elements of all
//     chunks, and the table was fixed before the first question. So no question
//     can be marked with a key of its own, and no answer chosen afterwards.
//  4. The table is sent only to a Querier that has the Holder's transcript, and
//     no match is shown before everything is verified.
//  5. Everything has one spelling: one encoding of an element or a scalar, one
//     order of a table, one length of each body. All else is refused.
//
// Not aims: that the sets are genuine, that both sides get their result, that
// the learner keeps it to itself, and secrecy against a quantum computer.
//
// # What is constant time
//
// Nothing branches on, or looks up by, the bits of a key, a blind or a proof's
// nonce: in NewKey and DeriveKey, in Key.Evaluate and BlindEvaluate, in Blind, in
// the unblinding of Finalize and in the making of a proof. Hashing to the group
// and encoding are constant time too. A pad is given the same work as an
// identifier; which of two results is kept is decided by a branch. How many
// elements there are is public. This is what the source says: neither machine
// code nor timings have been examined.
//
// Variable time, since both sides know what it depends on: decoding the peer's
// elements, verifying a proof, the sums over a chunk, the table's order and hash.
//
// # What this package does not do
//
// It has no network, file, clock or log. It draws randomness, from crypto/rand,
// in NewKey, NewSeed and for a proof's nonce, and nowhere else. It forgets
// secrets as well as Go lets it: Destroy overwrites, but the runtime may have
// made copies.
package psi

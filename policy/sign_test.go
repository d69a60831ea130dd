package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// company returns a key that is the same in every run, and its id.
func company(n byte) (ed25519.PrivateKey, [32]byte) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	return key, sha256.Sum256(key.Public().(ed25519.PublicKey))
}

var signedAt = time.Date(2026, 11, 25, 4, 0, 0, 999, time.FixedZone("CET", 3600))

func sign(t testing.TB, p *Policy, signed []byte, key ed25519.PrivateKey) []byte {
	t.Helper()
	file, err := Sign(p, signed, key, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSignatures(t *testing.T) {
	p := Default()
	key, id := company(1)
	otherKey, other := company(2)
	one := sign(t, p, nil, key)
	two := sign(t, p, one, otherKey)
	for _, c := range []struct {
		file    []byte
		signers [][32]byte
	}{{one, [][32]byte{id}}, {two, [][32]byte{id, other}}} {
		s, err := VerifySignatures(p, c.file)
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != 1 || s.First != id || !s.Time.Equal(signedAt.Truncate(time.Second)) || len(s.Signers) != len(c.signers) {
			t.Errorf("%+v", s)
		}
		for i, signer := range s.Signers {
			if signer.ID != c.signers[i] || sha256.Sum256(signer.Key) != signer.ID {
				t.Errorf("signer %d is %x", i, signer.ID)
			}
		}
		if !s.By(id) || s.By(other) != (len(c.signers) == 2) || s.By([32]byte{}) {
			t.Error("By")
		}
	}
	// Signing twice changes nothing: Ed25519 signs one text in one way.
	if again := sign(t, p, two, otherKey); !bytes.Equal(again, two) {
		t.Error("a second signature of one company is another file")
	}
}

// The file as it is, byte for byte, and any signed note's reader can check it.
func TestSignatureFileKnownAnswer(t *testing.T) {
	p, err := Parse(minimal())
	if err != nil {
		t.Fatal(err)
	}
	key, id := company(1)
	file := sign(t, p, nil, key)
	text := "overlap policy\nversion 1\nsha256 ac1b0c276848ddddb5c8b7c85f1ef904111def211803c2b1a8181f1166cbe51c\n" +
		"time 2026-11-25T03:00:00Z\nfirst " + hex.EncodeToString(id[:]) + "\n"
	public := key.Public().(ed25519.PublicKey)
	name := hex.EncodeToString(id[:]) + "." + base64.RawURLEncoding.EncodeToString(public)
	keyHash := sha256.Sum256([]byte(name + "\n\x01" + string(public)))
	want := text + "\n— " + name + " " + base64.StdEncoding.EncodeToString(append(keyHash[:4:4], ed25519.Sign(key, []byte(text))...)) + "\n"
	if string(file) != want {
		t.Errorf("got\n%s\nwant\n%s", file, want)
	}
	encoded, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(file, note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
		t.Errorf("a signed note's reader: %v", err)
	}
}

func TestSignaturesOfAnotherDocument(t *testing.T) {
	p := Default()
	key, _ := company(1)
	file := sign(t, p, nil, key)
	other, err := Parse(append(p.Bytes(), '\n'))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifySignatures(other, file); !errors.Is(err, ErrOther) {
		t.Errorf("verified: %v", err)
	}
	if _, err := Sign(other, file, key, signedAt); !errors.Is(err, ErrOther) {
		t.Errorf("added a signature: %v", err)
	}
}

// Every changed byte is found: in the text, the names and the signatures.
func TestEveryChangeIsFound(t *testing.T) {
	p := Default()
	key, _ := company(1)
	otherKey, other := company(2)
	file := sign(t, p, sign(t, p, nil, key), otherKey)
	for i := range file {
		if i+1 < len(file) && file[i+1] == '=' {
			continue // the last digit of Base64 has bits that stand for nothing
		}
		for _, flip := range []byte{0x01, 0x20} {
			changed := bytes.Clone(file)
			changed[i] ^= flip
			// A name that no company has is left aside, so the second company may be
			// missing, but never there and wrong.
			s, err := VerifySignatures(p, changed)
			if err == nil && s.By(other) {
				t.Errorf("byte %d may be changed by %#x", i, flip)
			}
		}
	}
}

func TestForgedSignatures(t *testing.T) {
	p := Default()
	key, id := company(1)
	otherKey, other := company(2)
	whole := string(sign(t, p, sign(t, p, nil, key), otherKey))
	lines := strings.SplitAfter(whole, "\n")
	text, first, second := strings.Join(lines[:6], ""), lines[6], lines[7]
	name := func(id [32]byte, key ed25519.PrivateKey) string {
		return fmt.Sprintf("%x.%s", id, base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	}
	for what, file := range map[string]string{
		"nothing":                   "",
		"no signature":              text,
		"no blank line":             strings.TrimSuffix(text, "\n") + first,
		"the first signer is gone":  text + second,
		"another key under an id":   string(signAs(t, strings.TrimSuffix(text, "\n"), name(id, otherKey), otherKey)),
		"one signature for another": text + first + strings.Replace(second, strings.Fields(second)[2], strings.Fields(first)[2], 1),
		"a name without a key":      text + strings.Replace(first, name(id, key), fmt.Sprintf("%x", id), 1),
		"too long":                  text + strings.Repeat(first, MaxBytes/len(first)+1),
		"not text":                  "\x00" + whole,
		"CRLF":                      strings.ReplaceAll(whole, "\n", "\r\n"),
		"lines more":                string(resign(t, strings.TrimSuffix(text, "\n")+"more\n", key)),
		"lines less":                string(resign(t, "overlap policy\n", key)),
		"another time":              string(resign(t, strings.Replace(strings.TrimSuffix(text, "\n"), "T03:00:00Z", "T03:00:00.0Z", 1), key)),
		"another first line":        string(resign(t, strings.Replace(strings.TrimSuffix(text, "\n"), "overlap", "Overlap", 1), key)),
		"another version":           string(resign(t, strings.Replace(strings.TrimSuffix(text, "\n"), "version 1", "version 2", 1), key)),
		"capitals":                  string(resign(t, strings.Replace(strings.TrimSuffix(text, "\n"), "first ", "First ", 1), key)),
	} {
		s, err := VerifySignatures(p, []byte(file))
		if err == nil && s.By(id) && s.By(other) || err == nil && what != "one signature for another" {
			t.Errorf("%s: %+v", what, s)
		}
		if err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A line that is no company's is left aside, and kept by who signs next.
	witnessed := strings.TrimSuffix(whole, second) + "— witness.example AAAAAAAAAA==\n"
	if s, err := VerifySignatures(p, []byte(witnessed)); err != nil || len(s.Signers) != 1 {
		t.Errorf("with a witness: %v", err)
	}
	if added := sign(t, p, []byte(witnessed), otherKey); !strings.Contains(string(added), "witness.example") {
		t.Error("a witness's line was dropped")
	}
}

// resign signs any text.
func resign(t *testing.T, text string, key ed25519.PrivateKey) []byte {
	return signAs(t, text, nameOf(key.Public().(ed25519.PublicKey)), key)
}

// signAs signs any text under any name.
func signAs(t *testing.T, text, name string, key ed25519.PrivateKey) []byte {
	t.Helper()
	public := key.Public().(ed25519.PublicKey)
	encoded, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(encoded)
	if err != nil {
		t.Fatal(err)
	}
	file, err := note.Sign(&note.Note{Text: text}, &noteSigner{v, public, key})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSignerDoesNotPrintItsKey(t *testing.T) {
	key, _ := company(1)
	signer, err := newNoteSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		if text := fmt.Sprintf(verb, signer); text != signer.Name() {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.toml")
	write := func(path string, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	p := Default()
	write(path, p.Bytes())
	if got, s, err := Load(path); err != nil || s != nil || got.Hash() != p.Hash() {
		t.Errorf("without signatures: %v, %v", s, err)
	}
	key, id := company(1)
	file := sign(t, p, nil, key)
	write(path+SignedSuffix, file)
	if _, s, err := Load(path); err != nil || !s.By(id) {
		t.Errorf("signed: %v, %v", s, err)
	}
	write(path+SignedSuffix, nil)
	if got, s, err := Load(path); !errors.Is(err, ErrSignature) || got != nil || s != nil {
		t.Errorf("an empty file of signatures: %v", err)
	}
	write(path, append(p.Bytes(), '\n'))
	write(path+SignedSuffix, file)
	if _, _, err := Load(path); !errors.Is(err, ErrOther) {
		t.Errorf("changed after it was signed: %v", err)
	}
	write(path, []byte("tua = 1"))
	if _, _, err := Load(path); err == nil {
		t.Error("loaded what does not parse")
	}
}

// FuzzVerifySignatures: no file panics, and none is valid that does not hold a
// signature of this document by each company that it names.
func FuzzVerifySignatures(f *testing.F) {
	p := Default()
	key, _ := company(1)
	otherKey, _ := company(2)
	one := sign(f, p, nil, key)
	f.Add(one)
	f.Add(sign(f, p, one, otherKey))
	f.Add([]byte("overlap policy\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := VerifySignatures(p, file)
		if err != nil {
			if s != nil {
				t.Error("an error and a result")
			}
			return
		}
		text, _, _ := bytes.Cut(file, []byte("\n\n"))
		if !bytes.Contains(text, fmt.Appendf(nil, "sha256 %x", p.Hash())) || !s.By(s.First) {
			t.Errorf("%+v", s)
		}
	})
}

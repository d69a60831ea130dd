package psi

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// traces returns the ways in which fmt can show a secret's bytes.
func traces(secret []byte) []string {
	part := secret[3:11]
	decimal := strings.Trim(fmt.Sprint(part), "[]")
	return []string{string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
		decimal, strings.ReplaceAll(decimal, " ", ", "), strings.ReplaceAll(decimal, " ", ","), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}")}
}

// TestSecretsPrintRedacted prints everything that has a secret in it, by value,
// by reference and inside something else, with every verb and to a log.
func TestSecretsPrintRedacted(t *testing.T) {
	d := newDeal(t, 4, 4, 4)
	*d.seed = Seed([]byte("seed: 0123456789abcdefghijklmnop"))
	d.in[0].Salt = [32]byte([]byte("salt: 0123456789abcdefghijklmnop"))
	q, h := d.querier(t), d.holder(t)
	_, err := q.Blind(d.in) // now the Querier keeps queries
	must(t, err)
	k := d.key.k.Bytes()
	out := make([]Output, 1)
	d.key.Evaluate(out, []Input{d.in[0].Input})
	x := d.in[0].Input

	secrets := map[string][]byte{"k": k[:], "seed": d.seed[:], "salt": d.in[0].Salt[:], "h": x.Bytes()[12:],
		"output": out[0][:], "tail": out[0][32:]}
	for name, v := range map[string]any{
		"Key": *d.key, "*Key": d.key, "Seed": *d.seed, "*Seed": d.seed, "Output": out[0], "*Output": &out[0],
		"[]Output": out, "[]Seed": []Seed{*d.seed}, "Input": x, "*Input": &x, "Query": d.in[0], "*Query": &d.in[0], "[]Query": d.in,
		"Querier": *q, "*Querier": q, "Holder": *h, "*Holder": h,
		"a struct": struct {
			K Key
			S *Seed
			Q Query
		}{*d.key, d.seed, d.in[0]},
		"a map": map[string]any{"k": *d.key, "q": q, "out": out},
	} {
		for what, text := range printed(v) {
			for secret, b := range secrets {
				for _, trace := range traces(b) {
					if strings.Contains(text, trace) {
						t.Errorf("%s, %s: %s is shown", name, what, secret)
					}
				}
			}
			if !strings.Contains(text, redacted) {
				t.Errorf("%s, %s: %q has no REDACTED", name, what, text)
			}
		}
	}
}

// TestLogValues: a log's handler of any kind, even one that looks into values by
// reflection, gets no more than the word.
func TestLogValues(t *testing.T) {
	x := inputs(1)[0]
	for _, v := range []slog.LogValuer{Key{}, &Key{}, Seed{}, &Seed{}, Output{}, &Output{}, x, &x, Query{}, &Query{},
		Querier{}, &Querier{}, Holder{}, &Holder{}} {
		if got := slog.AnyValue(v).Resolve(); got.Kind() != slog.KindString || got.String() != redacted {
			t.Errorf("%T resolves to another value", v)
		}
	}
}

func printed(v any) map[string]string {
	texts := map[string]string{"Sprint": fmt.Sprint(v), "Sprintln": fmt.Sprintln(v), "error": fmt.Errorf("%w", fmt.Errorf("%v", v)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%o", "%08b", "%c", "%U", "%t", "%e"} {
		texts[verb] = fmt.Sprintf(verb, v)
	}
	var text, json bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("a line", "value", v)
	slog.New(slog.NewJSONHandler(&json, nil)).Info("a line", "value", v)
	texts["slog text"] = text.String()
	texts["slog JSON"] = json.String()
	return texts
}

// TestTracesAreFound: without Format the search above finds the bytes, with each
// verb that prints any.
func TestTracesAreFound(t *testing.T) {
	secret := []byte("salt: 0123456789abcdefghijklmnop")
	type bare [32]byte
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d"} {
		text, found := fmt.Sprintf(verb, bare(secret)), false
		for _, trace := range traces(secret) {
			found = found || strings.Contains(text, trace)
		}
		if !found {
			t.Errorf("%s: not found in %q", verb, text)
		}
	}
}

// TestErrorsTellNothing: no error text contains more than words and indexes.
func TestErrorsTellNothing(t *testing.T) {
	bad := bytes.Repeat([]byte{0xed}, 32)
	_, keyErr := ParsePublicKey(Element(bad))
	_, modeErr := ParseMode(string(bad))
	_, decodeErr := decoded([]Element{Element(bad)})
	for _, err := range []error{keyErr, modeErr, decodeErr} {
		if err == nil {
			t.Fatal("no error")
		}
		for _, trace := range traces(bad) {
			if strings.Contains(err.Error(), trace) {
				t.Errorf("%q contains what was refused", err)
			}
		}
	}
}

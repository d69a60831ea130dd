package identifier

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

const fooHex = "0c7e6a405862e402eb76a70f8a26fc732d07c32931e9fae9ab1582911d2e8a3b" // foo@bar.com

// encodings of bytes that ParseSum reads.
var encodings = map[string]func([]byte) string{
	"hex":                 hex.EncodeToString,
	"HEX":                 func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
	"Base64":              base64.StdEncoding.EncodeToString,
	"Base64 unpadded":     base64.RawStdEncoding.EncodeToString,
	"Base64 URL":          base64.URLEncoding.EncodeToString,
	"Base64 URL unpadded": base64.RawURLEncoding.EncodeToString,
}

var sumRefusals = func() (all []refusal) {
	add := func(want Code, raws ...string) {
		for _, raw := range raws {
			all = append(all, refusal{profile: sumProfile, raw: raw, want: want})
		}
	}
	foo, _ := hex.DecodeString(fooHex)
	md, sh, sh384, sh512 := md5.Sum(foo), sha1.Sum(foo), sha512.Sum384(foo), sha512.Sum512(foo)
	std, raw, url := base64.StdEncoding.EncodeToString, base64.RawStdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString

	add(HashPrefix, "0x"+fooHex, "0X"+fooHex, `\x`+fooHex, "sha256:"+fooHex, "SHA256-"+std(foo), "0x", "0x é",
		"0x"+std(foo)[2:]) // Base64 that happens to begin so
	add(HashAlphabet, "foo@bar.com", `"`+fooHex+`"`, fooHex[:32]+" "+fooHex[32:], fooHex[:60]+"é", "ſha256:"+fooHex)

	add(HashDoubleEncoded, hex.EncodeToString([]byte(fooHex)), hex.EncodeToString([]byte(strings.ToUpper(fooHex))),
		std([]byte(fooHex)), raw([]byte(fooHex)), std([]byte(strings.ToUpper(fooHex))))
	add(HashAlgorithm, hex.EncodeToString(sh512[:]), strings.ToUpper(hex.EncodeToString(sh512[:])), std(sh512[:]), url(sh512[:]),
		hex.EncodeToString(md[:]), hex.EncodeToString(sh[:]), hex.EncodeToString(sh384[:]), std(md[:]), std(sh[:]))
	add(HashLength, "a", fooHex[:63], fooHex+"00", fooHex[:43], fooHex[:44], strings.Repeat("a", 127),
		"SHA256", raw(md[:]), raw(sh[:]), std(foo[:15]), std(foo[:15])+"====", std(foo[:18])+"====", std(foo)[:42], std(sh512[:])[:87],
		std(md[:])[:22]+"AA",  // 24 characters without padding
		std(md[:])[:21]+"B==") // bits after the last byte

	add(HashAlphabet,
		fooHex[:63]+"g", std(sh384[:]), // 64 characters, not all hexadecimal
		std(foo)[:43]+"A",                                            // 44 without padding: 33 bytes
		std(foo)[:42]+"==",                                           // 31 bytes
		std(foo)[:42]+"t=",                                           // bits after the last byte
		std(foo)[:42]+"=s",                                           // padding inside
		"+_"+std(foo)[2:], "/-"+raw(foo)[2:], "_+"+std(sh512[:])[2:], // both alphabets
		std(sh512[:])[:86]+"=A",
		std(sh512[:])[:85]+"B==",
		raw(sh512[:63])+"==",
		std(append(sh512[:], 0, 0)), // 66 bytes
	)
	for _, j := range junk {
		sum := sha256.Sum256([]byte(j))
		for _, encode := range encodings {
			add(HashOfJunk, encode(sum[:]))
		}
	}
	return all
}()

func TestParseSum(t *testing.T) {
	foo, err := hex.DecodeString(fooHex)
	if err != nil {
		t.Fatal(err)
	}
	for name, encode := range encodings {
		for _, c := range classes {
			id, err := c.ParseSum("\ufeff " + encode(foo) + "\r\n")
			if err != nil || id.Normalized() != fooHex || id.Sum() != [32]byte(foo) || id.Class() != c {
				t.Errorf("%s of %s: %v", c, name, err)
			}
		}
	}
	raw, err := EmailPlain.Normalize("Foo@bar.com", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := EmailPlain.ParseSum(fooHex); err != nil || sum.Sum() != raw.Sum() {
		t.Error("raw and hashed lists do not meet")
	}
	if id, err := EmailUID2.ParseSum("0x" + fooHex); err != HashPrefix || id != (Identifier{}) {
		t.Errorf("error is %v", err)
	}
}

// Junk is compared byte for byte: the hash of another spelling may be that of
// something somebody has.
func TestParseSumJunkIsExact(t *testing.T) {
	for _, s := range []string{"Null", "None", "N/A", " ", "+00000000000", "00"} {
		sum := sha256.Sum256([]byte(s))
		if _, err := EmailUID2.ParseSum(hex.EncodeToString(sum[:])); err != nil {
			t.Errorf("SHA-256 of %q: %v", s, err)
		}
	}
	if len(junkSums) != 12 {
		t.Errorf("%d junk strings, want 12", len(junkSums))
	}
}

var isCanonicalSum = regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString

func FuzzParseSum(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Profile == sumProfile {
			f.Add(v.Input)
		}
	}
	for _, r := range append(sumRefusals, sharedRefusals...) {
		f.Add(r.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := EmailUID2.ParseSum(raw)
		checkRead(t, id, err, isCanonicalSum, EmailUID2.ParseSum)
		if err != nil {
			return
		}
		sum := id.Sum()
		if hex.EncodeToString(sum[:]) != id.Normalized() {
			t.Fatalf("%q is not the sum", id.Normalized())
		}
		spelled := strings.TrimFunc(raw, isStripped)
		for _, encode := range encodings {
			if encode(sum[:]) == spelled {
				return
			}
		}
		if !strings.EqualFold(spelled, id.Normalized()) {
			t.Fatalf("%q is no encoding of its sum", raw)
		}
	})
}

package identifier

import "testing"

func BenchmarkNormalize(b *testing.B) {
	for _, bm := range []struct {
		name  string
		class Class
		raw   string
		o     Options
	}{
		{"email", EmailUID2, "first.last@shop.example", Options{}},
		{"email/blanks and capitals", EmailUID2, " First.Last@Shop.Example ", Options{}},
		{"email/gmail", EmailUID2, "First.Last+News@gmail.com", Options{}},
		{"phone/international", PhoneE164, "+33612345678", Options{}},
		{"phone/spaced", PhoneE164, "+33 6 12 34 56 78", Options{}},
		{"phone/national", PhoneE164, "06 12 34 56 78", Options{Region: "FR"}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bm.class.Normalize(bm.raw, bm.o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseSum(b *testing.B) {
	for _, bm := range []struct{ name, sum string }{
		{"hex", "0C7E6A405862E402EB76A70F8A26FC732D07C32931E9FAE9AB1582911D2E8A3B"},
		{"base64", "DH5qQFhi5ALrdqcPiib8cy0Hwykx6frpqxWCkR0uijs="},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := EmailUID2.ParseSum(bm.sum); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

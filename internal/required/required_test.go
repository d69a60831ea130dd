package required

import "testing"

func TestBy(t *testing.T) {
	for _, c := range []struct {
		value string
		want  bool
	}{{"", false}, {"ifma", false}, {"avx512", true}, {"ifma,avx512", true}, {"avx512,postgres", true}} {
		t.Setenv(Variable, c.value)
		if By(t, AVX512) != c.want {
			t.Errorf("%q: required is %v", c.value, !c.want)
		}
	}
	t.Setenv(Variable, "avx521")
	var typo testing.T
	if By(&typo, AVX512) || !typo.Failed() {
		t.Error("an unknown name passed")
	}
}

func TestSkip(t *testing.T) {
	for value, want := range map[string]bool{"": false, "postgres": true} {
		t.Setenv(Variable, value)
		var of testing.T
		done := make(chan bool)
		go func() { // Fatal and Skip end their goroutine
			defer close(done)
			Skip(&of, Postgres, "no PostgreSQL")
			t.Error("the test went on")
		}()
		<-done
		if of.Failed() != want || of.Skipped() == want {
			t.Errorf("%q: failed %v, skipped %v", value, of.Failed(), of.Skipped())
		}
	}
}

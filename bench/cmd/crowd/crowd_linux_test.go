package main

import (
	"strings"
	"testing"
	"time"
)

func seconds(list ...int) (took []time.Duration) {
	for _, s := range list {
		took = append(took, time.Duration(s)*time.Second)
	}
	return took
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []time.Duration
		want time.Duration
	}{{seconds(3), 3 * time.Second}, {seconds(9, 1, 5), 5 * time.Second}, {seconds(9, 1, 5, 7), 6 * time.Second}} {
		if got := median(c.list); got != c.want {
			t.Errorf("of %v it is %v, want %v", c.list, got, c.want)
		}
	}
}

func TestUnfair(t *testing.T) {
	fine := result{took: seconds(6, 2, 4), before: state{goroutines: 10, files: 20}, after: state{goroutines: 12, files: 22}}
	if err := fine.unfair(); err != nil {
		t.Error(err)
	}
	slow, goroutines, files := fine, fine, fine
	slow.took = seconds(2, 7)
	goroutines.after.goroutines += 50
	files.after.files += 50
	for _, r := range []result{slow, goroutines, files} {
		if r.unfair() == nil {
			t.Errorf("nothing is wrong with %+v", r)
		}
	}
}

func TestWrite(t *testing.T) {
	var text strings.Builder
	r := result{took: seconds(6, 2, 4), most: 3, comeBack: 30 * time.Second}
	r.write(&text, &crowd{n: 10_000, accounts: 20_000, advertisers: 3}, 1024)
	for _, want := range []string{"| median | 4.00 s |", "| slowest over fastest (wanted: at most 3) | **3.00** |", "told to come back in | 30s |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("there is no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "%!") {
		t.Errorf("figures are missing in\n%s", text.String())
	}
}

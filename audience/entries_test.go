package audience

import (
	"crypto/sha256"
	"slices"
	"testing"
)

// Each identifier comes with its row: blank lines and line ends in quotes are
// no rows, a row that is refused is one, and a repeat is of its first row.
func TestEntriesHaveRows(t *testing.T) {
	file := "id,email,email 2,note\n" +
		"x,a@example.com,b@example.com,\n" +
		"\n" +
		"x,not an address,,\"two\nlines\"\n" +
		"x,c@example.com,a@example.com,\n" +
		"too,few\n" +
		"x,a@example.com,D@example.com,\n"
	l, err := Open(write(t, file), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	var rows []uint64
	var sums [][32]byte
	for e, err := range l.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		rows, sums = append(rows, e.Row), append(sums, e.Eligible.Sum())
	}
	if want := []uint64{1, 1, 3, 5}; !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	for i, value := range []string{"a@example.com", "b@example.com", "c@example.com", "d@example.com"} {
		if i < len(sums) && sums[i] != sha256.Sum256([]byte(value)) {
			t.Errorf("entry %d is another identifier", i)
		}
	}
	if l.Report().Rows != 5 {
		t.Errorf("%d rows are reported", l.Report().Rows)
	}
	for _, err = range l.Entries() {
	}
	if err != errTwice {
		t.Errorf("read twice: %v", err)
	}
}

func TestIDColumn(t *testing.T) {
	for header, want := range map[string]int{
		"email,Customer ID,id": 2, "extern_id,email": 1, "email,name": 0, "email,External-Id": 2, "email,UserID": 2, "email": 0,
	} {
		l, err := Open(write(t, header+"\na@example.com\n"), testOptions())
		if err != nil {
			t.Fatal(err)
		}
		if got := l.IDColumn(); got != want {
			t.Errorf("%q: column %d, want %d", header, got, want)
		}
		l.Close()
	}
	o := testOptions()
	o.Columns = map[string]string{"id": "email"} // the advertiser says that it is something else
	l, err := Open(write(t, "id\na@example.com\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.IDColumn() != 0 {
		t.Error("a column of e-mails is taken for ids")
	}
}

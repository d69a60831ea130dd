package store

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What is no store is refused, and left as it is, with nothing beside it.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	csv, other := filepath.Join(dir, "users.csv"), filepath.Join(dir, "other.db")
	if err := os.WriteFile(csv, []byte("account_id,kind,value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+url.PathEscape(other))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE bookmarks (at TEXT)`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Chmod(other, 0o644)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		csv: ErrForeign, other: ErrForeign, dir: ErrForeign,
		filepath.Join(dir, "none", "users.db"): ErrNoDirectory,
	} {
		before, _ := os.ReadFile(path)
		if _, err := Open(t.Context(), "sqlite:"+path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", path)
		}
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm() != 0o644 {
			t.Errorf("%s: its mode is %v now", path, st.Mode())
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside them: %v %v", entries, err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "sqlite:"+empty)
	if err != nil {
		t.Fatalf("an empty file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refuses is a PostgreSQL that answers each start with an error of that code.
func refuses(t *testing.T, code string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	body := "SFATAL\x00VFATAL\x00C" + code + "\x00Mrefused\x00\x00" // ErrorResponse
	answer := binary.BigEndian.AppendUint32([]byte("E"), uint32(4+len(body)))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err == nil {
				io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:]))-4)
			}
			c.Write(append(answer, body...))
			c.Close()
		}
	}()
	return l.Addr().String()
}

// Why PostgreSQL can't be used is one sentence, whatever was tried, and never has the
// password.
func TestPostgresThatCannotBeUsed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, c := range []struct {
		url  string
		want error
		text string
	}{
		{"postgres://anna:geheim7@" + nobody + "/db", ErrUnreachable, nobody + ": connection refused"},
		{"postgres://anna:geheim7@" + nobody + "/db?sslmode=disable", ErrUnreachable, ": connection refused"},
		{"postgres:///db?host=" + t.TempDir() + "&user=anna&password=geheim7", ErrUnreachable, ": no such file or directory"},
		{"postgres://anna:geheim7@" + refuses(t, "28P01") + "/db?sslmode=disable", ErrNotLetIn, `"anna" at 127.0.0.1:`},
		{"postgres://anna:geheim7@" + refuses(t, "28000") + "/db?sslmode=disable", ErrNotLetIn, `"anna" at 127.0.0.1:`},
		{"postgres://anna:geheim7@" + refuses(t, "3D000") + "/db?sslmode=disable", ErrNoDatabase, `"db" at 127.0.0.1:`},
		{"postgres://anna:geheim7@" + refuses(t, "53300") + "/db?sslmode=disable", ErrUnreachable, "refused (SQLSTATE 53300)"},
	} {
		_, err := Open(t.Context(), c.url)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.url, err)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "geheim7")) {
			t.Errorf("%s: %q", c.url, err.Error())
		}
	}
}

// On a full disk an import fails in words, and what was there stays.
func TestFullDisk(t *testing.T) {
	d := open(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	put(t, d, fact("a", 1))
	if _, err := d.write.Exec(`PRAGMA max_page_count = 64`); err != nil { // SQLite's own full disk
		t.Fatal(err)
	}
	many := make([]Fact, 20_000)
	for i := range many {
		many[i] = fact(strconv.Itoa(i), i%255+1)
	}
	_, err := d.Put(t.Context(), stream(many...))
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	s, err := d.Summary(t.Context())
	if err != nil || s.Accounts == 0 {
		t.Errorf("after it: %+v, %v", s, err)
	}
}

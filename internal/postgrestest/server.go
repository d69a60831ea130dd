// Package postgrestest starts a PostgreSQL for tests, which need nothing but its
// programs where Debian has them.
package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
)

// Server is a PostgreSQL that is of its test only.
type Server struct {
	dir     string // of its files and its socket
	process *exec.Cmd
	schemas atomic.Int32
}

// Start starts a server. Whoever started it stops it, and it ends with the process
// too, where the system can see to that.
func Start() (*Server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return nil, errors.New("none under /usr/lib/postgresql")
	}
	dir, err := os.MkdirTemp("", "pg") // short: a socket's path is
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.start(found[len(found)-1]); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(bin string) error {
	files := filepath.Join(s.dir, "files")
	who, err := unprivileged(s.dir)
	if err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", files, "-U", "overlap", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = who, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Without fsync: what is killed in tests are clients, never the server.
	process := exec.Command(filepath.Join(bin, "postgres"), "-D", files, "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "default_transaction_isolation=serializable")
	process.SysProcAttr, process.Dir = who, s.dir
	if err := process.Start(); err != nil {
		return err
	}
	s.process = process
	return s.await()
}

func (s *Server) await() (err error) {
	db, err := sql.Open("pgx", s.URL(""))
	if err != nil {
		return err
	}
	defer db.Close()
	for range 100 {
		if err = db.PingContext(context.Background()); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// Stop stops the server, the fast way, and removes its files.
func (s *Server) Stop() {
	if s.process != nil {
		s.process.Process.Signal(os.Interrupt)
		s.process.Wait()
	}
	os.RemoveAll(s.dir)
}

// URL returns the URL of a schema.
func (s *Server) URL(schema string) string {
	return "postgres://overlap@/postgres?sslmode=disable&host=" + s.dir + "&search_path=" + schema
}

// NewSchema makes a schema that nobody else uses, and returns its URL.
func (s *Server) NewSchema() (url string, err error) {
	db, err := sql.Open("pgx", s.URL(""))
	if err != nil {
		return "", err
	}
	defer db.Close()
	schema := fmt.Sprintf("store_%d", s.schemas.Add(1))
	_, err = db.Exec(`CREATE SCHEMA ` + schema)
	return s.URL(schema), err
}

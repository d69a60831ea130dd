package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

var errDevelopment = errors.New("store: made by a version of this program that was never released; make a new one and import the ledger again")

// schema has a file for each version, in the words of SQLite, but for NEVER
// CHANGED. A file is never changed once a release has it.
//
//go:embed schema/*.sql
var schema embed.FS

// migrate applies the schema files that the store has not seen yet, all in one
// transaction, so that two programs that open a new store make it once.
func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Glob(schema, "schema/*.sql") // in order of their numbers
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return d.update(ctx, "preparing the schema", func(tx *sql.Tx) error {
		applied, err := appliedVersions(ctx, tx)
		if err != nil {
			return err
		}
		if applied > len(files) {
			return ErrNewer
		}
		if applied == 0 && d.dialect.before != "" {
			if _, err := tx.ExecContext(ctx, d.dialect.before); err != nil {
				return err
			}
		}
		for i, name := range files[applied:] {
			if err := d.apply(ctx, tx, applied+i+1, name); err != nil {
				return err
			}
		}
		return drawHandleKey(ctx, tx)
	})
}

// refuseDevelopment refuses a store from before the first release, whose facts say
// less than the ledger must, or whose audiences stand otherwise.
func refuseDevelopment(ctx context.Context, db *sql.DB, marks string) error {
	var n int
	if err := db.QueryRowContext(ctx, marks).Scan(&n); err != nil {
		return wrap("preparing the schema", err)
	}
	if n > 0 {
		return errDevelopment
	}
	return nil
}

func appliedVersions(ctx context.Context, tx *sql.Tx) (n int, err error) {
	const table = `CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)`
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_versions`).Scan(&n)
	return n, err
}

func (d *DB) apply(ctx context.Context, tx *sql.Tx, version int, name string) error {
	statements, err := schema.ReadFile(name)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, d.dialect.words.Replace(string(statements))); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO schema_versions (version, applied) VALUES (?, ?)`, version, micros(time.Now()))
	return err
}

// drawHandleKey gives a new store the key that its handles are made with.
func drawHandleKey(ctx context.Context, tx *sql.Tx) error {
	var key [32]byte
	rand.Read(key[:])
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (one, handle_key, last_seq) VALUES (1, ?, 0) ON CONFLICT DO NOTHING`, key[:])
	return err
}

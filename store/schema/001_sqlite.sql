-- The platform's store, version 1. Times are microseconds since 1970 in UTC;
-- classes, purposes and statuses are the bytes of packages identifier and
-- consent. STRICT, WITHOUT ROWID, BLOB, AUTOINCREMENT and the trigger's RAISE are
-- SQLite's; the rest is any dialect's.

CREATE TABLE meta (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    handle_key BLOB    NOT NULL CHECK (length(handle_key) = 32), -- secret: with it an account's id gives its handle
    last_seq   INTEGER NOT NULL
) STRICT;

-- Handles are random, so what refers to an account in bulk does it by id: then an
-- import appends to the facts, and only the index of handles is written all over.
CREATE TABLE accounts (
    id           INTEGER PRIMARY KEY,
    handle       BLOB    NOT NULL UNIQUE CHECK (length(handle) = 32),
    account_id   TEXT    NOT NULL,
    switched_off INTEGER NOT NULL CHECK (switched_off IN (0, 1))
) STRICT;

-- One line of the ledger a row. The primary key is the line's whole content, so
-- that importing it again adds nothing.
CREATE TABLE facts (
    account      INTEGER NOT NULL REFERENCES accounts (id),
    class        INTEGER NOT NULL,
    sum          BLOB    NOT NULL,
    purpose      INTEGER NOT NULL,
    collected_at INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    jurisdiction TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    seq          INTEGER NOT NULL, -- order of arrival
    secret       BLOB    NOT NULL, -- salts derive from it: erased with the row
    PRIMARY KEY (account, class, sum, purpose, collected_at, status, jurisdiction, source)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER facts_are_never_changed BEFORE UPDATE ON facts
BEGIN
    SELECT RAISE(ABORT, 'a fact is never changed: a change is a new fact');
END;

CREATE TABLE nonces (
    peer    BLOB    NOT NULL,
    nonce   BLOB    NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (peer, nonce)
) STRICT, WITHOUT ROWID;

CREATE INDEX nonces_expires ON nonces (expires);

-- kind: 1 releases, 2 queries
CREATE TABLE budgets (
    kind     INTEGER NOT NULL,
    party    BLOB    NOT NULL,
    universe TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    spent    INTEGER NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (kind, party, universe, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE charges (
    kind   INTEGER NOT NULL,
    sid    BLOB    NOT NULL,
    party  BLOB    NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (kind, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    sid  BLOB NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- An audience is filled unseen and then made ready; ids say which was begun later.
CREATE TABLE audiences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    advertiser BLOB    NOT NULL,
    name       TEXT    NOT NULL,
    sid        BLOB    NOT NULL,
    ready      INTEGER NOT NULL CHECK (ready IN (0, 1)),
    accounts   INTEGER NOT NULL,
    created    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX audiences_ready ON audiences (advertiser, name) WHERE ready = 1;

CREATE TABLE members (
    audience INTEGER NOT NULL REFERENCES audiences (id) ON DELETE CASCADE,
    handle   BLOB    NOT NULL REFERENCES accounts (handle),
    PRIMARY KEY (audience, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    sid      BLOB    NOT NULL PRIMARY KEY,
    peer     BLOB    NOT NULL,
    audience TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    outcome  TEXT    NOT NULL,
    q_hat    INTEGER NOT NULL,
    n_hat    INTEGER NOT NULL,
    receipt  BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

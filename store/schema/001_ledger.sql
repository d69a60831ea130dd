-- The platform's ledger. One text for every dialect: schema.go says which words
-- are put in another way where. Times are microseconds since 1970 in UTC;
-- classes, purposes, statuses and bases are the bytes of packages identifier and
-- consent.

-- last_seq is the last number given to an account, a fact or a switch. One counter
-- numbers them all, in the order of their arrival, and no number is given twice:
-- what was known at some moment is what has a number up to the counter's then.
CREATE TABLE meta (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    handle_key BLOB    NOT NULL CHECK (length(handle_key) = 32), -- secret: with it an account's number gives its handle
    last_seq   INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    id           INTEGER PRIMARY KEY,
    account_id   TEXT    NOT NULL UNIQUE, -- the platform's own name
    switched_off INTEGER NOT NULL CHECK (switched_off IN (0, 1)) -- the last of switches
) STRICT;

CREATE INDEX accounts_switched_off ON accounts (id) WHERE switched_off = 1;

-- Where facts come from is said by few rows for many facts. The digest stands for
-- the whole row, which is longer than an index of every dialect takes.
CREATE TABLE origins (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    digest       BLOB    NOT NULL UNIQUE,
    basis        INTEGER NOT NULL,
    jurisdiction TEXT    NOT NULL,
    notice       TEXT    NOT NULL,
    surface      TEXT    NOT NULL,
    source       TEXT    NOT NULL
) STRICT;

-- One line of the ledger a row, in order of arrival. The digest is of all that the
-- line says, so that importing it again adds nothing.
CREATE TABLE facts (
    seq          INTEGER PRIMARY KEY,
    account      INTEGER NOT NULL REFERENCES accounts (id),
    origin       INTEGER NOT NULL REFERENCES origins (id),
    class        INTEGER NOT NULL,
    purpose      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    collected_at INTEGER NOT NULL,
    reference    TEXT    NOT NULL,
    sum          BLOB    NOT NULL,
    secret       BLOB    NOT NULL, -- salts derive from it: erased with the row
    digest       BLOB    NOT NULL,
    UNIQUE (account, digest)
) STRICT;

CREATE TRIGGER facts_are_never_changed BEFORE UPDATE ON facts NEVER CHANGED;

-- What became of the accounts' own switches against ads matching.
CREATE TABLE switches (
    seq     INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    off     INTEGER NOT NULL CHECK (off IN (0, 1)),
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX switches_account ON switches (account);

CREATE TRIGGER switches_are_never_changed BEFORE UPDATE ON switches NEVER CHANGED;

-- What shows afterwards how each session was allowed, and what became of that.

-- One row a session with a partner, from before its first question. snapshot_id and
-- seed are secret: they open any leaf of its consent tree and any of its questions.
-- They are NULL, and its manifests gone, once the time to keep them is over.
CREATE TABLE sessions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sid         BLOB    NOT NULL UNIQUE,
    peer        BLOB    NOT NULL,
    audience    TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    policy      BLOB    NOT NULL,
    started     INTEGER NOT NULL,
    cut_at      INTEGER NOT NULL, -- the moment whose consent counted
    cut         INTEGER NOT NULL, -- the last number of the ledger that was known
    snapshot_id BLOB,
    seed        BLOB,
    root        BLOB    NOT NULL,
    leaves      INTEGER NOT NULL,
    q_hat       INTEGER NOT NULL,
    n_hat       INTEGER NOT NULL,
    matched     INTEGER, -- accounts; NULL: there is no result
    ended       INTEGER, -- NULL: it is open, or its process died
    outcome     TEXT    NOT NULL,
    receipt     BLOB    NOT NULL,
    digests     BLOB    NOT NULL
) STRICT;

CREATE INDEX sessions_open ON sessions (started) WHERE ended IS NULL;
CREATE INDEX sessions_kept ON sessions (cut_at) WHERE snapshot_id IS NOT NULL;

-- Which facts a session's accounts were exposed on (grade 1), and matched on (2):
-- a row for each 65,536 numbers. Numbers of facts that are gone stay.
CREATE TABLE manifests (
    chunk   INTEGER NOT NULL,
    grade   INTEGER NOT NULL,
    session INTEGER NOT NULL REFERENCES sessions (id),
    facts   BLOB    NOT NULL,
    PRIMARY KEY (chunk, grade, session)
) STRICT;

CREATE INDEX manifests_session ON manifests (session);

-- What an advertiser named: of the sessions that filled it, the one opened last.
CREATE TABLE audiences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    advertiser BLOB    NOT NULL,
    name       TEXT    NOT NULL,
    session    INTEGER NOT NULL REFERENCES sessions (id),
    accounts   INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    UNIQUE (advertiser, name)
) STRICT;

-- Who is in it: a row for each 65,536 numbers of accounts, as of a manifest.
CREATE TABLE members (
    chunk    INTEGER NOT NULL,
    audience INTEGER NOT NULL REFERENCES audiences (id) ON DELETE CASCADE,
    accounts BLOB    NOT NULL,
    PRIMARY KEY (chunk, audience)
) STRICT;

CREATE INDEX members_audience ON members (audience);

-- How many of a manifest have been erased since, of a class, and of any (0). It
-- says nothing of whom.
CREATE TABLE erased (
    session     INTEGER NOT NULL REFERENCES sessions (id),
    grade       INTEGER NOT NULL,
    class       INTEGER NOT NULL,
    identifiers INTEGER NOT NULL,
    accounts    INTEGER NOT NULL,
    PRIMARY KEY (session, grade, class)
) STRICT, WITHOUT ROWID;

-- What was erased so lately that a session which was running may still come with
-- it. The numbers are no longer anybody's.
CREATE TABLE erased_lately (
    fact    INTEGER NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL,
    class   INTEGER NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- A hold keeps accounts from being erased until its time is over.
CREATE TABLE holds (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    until    INTEGER NOT NULL
) STRICT;

CREATE TABLE held (
    account INTEGER NOT NULL REFERENCES accounts (id),
    hold    INTEGER NOT NULL REFERENCES holds (id) ON DELETE CASCADE,
    PRIMARY KEY (account, hold)
) STRICT, WITHOUT ROWID;

CREATE INDEX held_hold ON held (hold);

CREATE TABLE incidents (
    id        TEXT    NOT NULL PRIMARY KEY,
    predicate TEXT    NOT NULL,
    since     INTEGER, -- of the sessions asked about; NULL: any
    until     INTEGER,
    at        INTEGER NOT NULL,
    exposed   INTEGER NOT NULL,
    matched   INTEGER NOT NULL,
    list      BLOB    NOT NULL,
    exported  INTEGER -- when those to notify were listed; NULL: not yet
) STRICT;

-- Events for the public log (1) and the log of access (2), numbered from 0 without
-- a gap in the order in which they came to be true.
CREATE TABLE outbox (
    log  INTEGER NOT NULL,
    id   INTEGER NOT NULL,
    body BLOB    NOT NULL,
    PRIMARY KEY (log, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_next (
    log INTEGER NOT NULL PRIMARY KEY,
    id  INTEGER NOT NULL
) STRICT;

INSERT INTO outbox_next (log, id) VALUES (1, 0), (2, 0);

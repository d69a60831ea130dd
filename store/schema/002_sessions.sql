-- What sessions with partners used up, and what they left.

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

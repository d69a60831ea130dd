-- The last number of the ledger when a session's result was stored; NULL: there is
-- none, or it is older than this column.
ALTER TABLE sessions ADD COLUMN heard INTEGER;

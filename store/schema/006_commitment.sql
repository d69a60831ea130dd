-- What fixes which leaves matched, for the log, which it goes into with the end of the
-- session: how long storing the matches took would be in it otherwise. NULL: there is
-- no result, or its session has none.
ALTER TABLE sessions ADD COLUMN commitment BLOB;

-- What a match may tell the advertiser of the account; empty: nothing. It goes with
-- the fact when that is erased.
ALTER TABLE facts ADD COLUMN label TEXT NOT NULL DEFAULT '';

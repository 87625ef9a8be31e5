-- What was done to many sessions, and whom a lock was taken back from, is remembered for those who ask again.

-- One row per end_owner, and per sweep and purge that found something; forgotten by a later purge.
CREATE TABLE sg_answer (
  operation TEXT    NOT NULL PRIMARY KEY,
  at_us     INTEGER NOT NULL,
  ended     TEXT    NOT NULL DEFAULT '',   -- the ids of the sessions that it ended, in order, each followed by a comma
  count     INTEGER NOT NULL DEFAULT 0,
  has_more  INTEGER NOT NULL,
  CHECK (has_more IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX sg_answer_age ON sg_answer (at_us);

-- The last releases, newest first: the quoted holder, a colon, the fence, a comma.
ALTER TABLE sg_lock ADD COLUMN released TEXT NOT NULL DEFAULT '';

-- Token hashes begin with the shard that the token names. Before, that was the one of the owner at the last rotation.
-- Of the previous token that owner is not recorded. It is taken as the first owner, whose shard the id names: right for
-- a token that was rotated once, as at a login. A token that was rotated again after its session had received another
-- owner loses its grace here: if it was replaced in the last seconds before the upgrade, it is unknown after it.
UPDATE sg_session
   SET token_hash = CAST(sg_shard(owner) || token_hash AS BLOB),
       previous_hash = CAST(sg_shard_of(id) || previous_hash AS BLOB)
 WHERE length(token_hash) = 32;

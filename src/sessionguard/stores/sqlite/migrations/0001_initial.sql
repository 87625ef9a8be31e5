-- The first schema. Instants and durations are whole microseconds (epoch, UTC).

CREATE TABLE sg_session (
  id                TEXT    NOT NULL PRIMARY KEY,
  scope             TEXT    NOT NULL,
  owner             TEXT    NOT NULL,
  external_id       TEXT    NOT NULL DEFAULT '',   -- '': none; not NULL, because NULLs are all different to an index
  seat              INTEGER,                       -- 0: the one of its slot; NULL: opened by create, found by no slot
  active            INTEGER NOT NULL DEFAULT 1,
  reason            TEXT,
  created_us        INTEGER NOT NULL,
  last_seen_us      INTEGER NOT NULL,
  expires_us        INTEGER NOT NULL,
  absolute_us       INTEGER NOT NULL,
  ended_us          INTEGER,
  lease_until_us    INTEGER,                       -- in use until then: not swept before
  version           INTEGER NOT NULL DEFAULT 1,
  generation        INTEGER NOT NULL DEFAULT 1,
  token_hash        BLOB    NOT NULL,
  previous_hash     BLOB,
  previous_until_us INTEGER,
  idle_us           INTEGER NOT NULL,
  touch_us          INTEGER NOT NULL,
  retention_us      INTEGER NOT NULL,
  keeps_data        INTEGER NOT NULL DEFAULT 0,
  operations        TEXT    NOT NULL DEFAULT '',   -- the last operation ids, newest first, each followed by a comma
  data              TEXT    NOT NULL DEFAULT '{}',
  CHECK (active IN (0, 1)),
  CHECK (active = (reason IS NULL)),
  CHECK (active = (ended_us IS NULL)),
  CHECK (owner <> '' AND scope <> '')
) STRICT;

-- The judge: at most one active session per slot and seat, whatever any program does.
CREATE UNIQUE INDEX sg_slot ON sg_session (owner, scope, external_id, seat) WHERE active = 1 AND seat IS NOT NULL;
CREATE UNIQUE INDEX sg_token ON sg_session (token_hash);
CREATE INDEX sg_previous ON sg_session (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX sg_due ON sg_session (expires_us) WHERE active = 1;
CREATE INDEX sg_ended ON sg_session (ended_us) WHERE active = 0;
CREATE INDEX sg_forget ON sg_session (ended_us + retention_us) WHERE active = 0;
CREATE INDEX sg_owner ON sg_session (owner, created_us DESC, id);
CREATE INDEX sg_generation ON sg_session (owner, scope, external_id, generation) WHERE seat IS NOT NULL;

CREATE TABLE sg_lock (
  session_id TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  holder     TEXT,
  fence      INTEGER NOT NULL,
  until_us   INTEGER NOT NULL,
  PRIMARY KEY (session_id, name)
) STRICT, WITHOUT ROWID;

-- deployment_id: drawn once. generation_floor: no slot without history starts below it, so that generations
-- whose history was purged are not used again.
CREATE TABLE sg_meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value ANY  NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sg_meta (name, value) VALUES ('deployment_id', lower(hex(randomblob(16)))), ('generation_floor', 0);

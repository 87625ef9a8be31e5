-- The tables. Instants and durations are whole microseconds (epoch, UTC). Text is compared byte by byte (COLLATE "C").
--
-- Every file here is run with the store's schema as the search path, in one transaction with those due before it.

CREATE TABLE sg_session (
  id                text    COLLATE "C" NOT NULL PRIMARY KEY,
  scope             text    COLLATE "C" NOT NULL,
  owner             text    COLLATE "C" NOT NULL,
  external_id       text    COLLATE "C" NOT NULL DEFAULT '',  -- '': none; not NULL, for NULLs are all different to an index
  seat              integer,                                  -- 0: the one of its slot; NULL: opened by create, found by no slot
  active            boolean NOT NULL DEFAULT true,
  reason            text,
  created_us        bigint  NOT NULL,
  last_seen_us      bigint  NOT NULL,
  expires_us        bigint  NOT NULL,
  absolute_us       bigint  NOT NULL,
  ended_us          bigint,
  lease_until_us    bigint,                                   -- for leases across machines: not swept before; nothing writes it yet
  version           bigint  NOT NULL DEFAULT 1,
  generation        bigint  NOT NULL DEFAULT 1,
  token_hash        bytea   NOT NULL,
  previous_hash     bytea,
  previous_until_us bigint,
  idle_us           bigint  NOT NULL,
  touch_us          bigint  NOT NULL,
  retention_us      bigint  NOT NULL,
  keeps_data        boolean NOT NULL DEFAULT false,
  former_id         text    COLLATE "C",                      -- whom it replaced in its slot, for a repeated answer
  operations        text[]  NOT NULL DEFAULT '{}',            -- the last operation ids, newest first
  -- A JSON object as text, not jsonb: that would give 1e308 back as a whole number of 309 digits.
  data              text    NOT NULL DEFAULT '{}',
  CHECK (active = (reason IS NULL)),
  CHECK (active = (ended_us IS NULL)),
  CHECK (owner <> '' AND scope <> '')
) WITH (fillfactor = 85);                                     -- a save changes no indexed column: let it stay on its page

-- The judge: at most one active session per slot and seat, whatever any program does.
CREATE UNIQUE INDEX sg_slot ON sg_session (owner, scope, external_id, seat) WHERE active AND seat IS NOT NULL;
-- Two indexes hold the ended ones, too. They are of the owner in another collation, which is the same order but another
-- name to the planner: it would look into them for who is in a slot, and read all of an owner's history. Who wants history
-- asks for owner COLLATE "POSIX".
-- No generation of a slot is given out twice.
CREATE UNIQUE INDEX sg_generation ON sg_session (owner COLLATE "POSIX", scope, external_id, generation)
  WHERE seat IS NOT NULL;
CREATE INDEX sg_owner ON sg_session (owner COLLATE "POSIX", created_us DESC, id);
-- Those of an owner who are active, to be listed and ended without the history: for the same reason in a third collation
-- of that order, so whoever wants them asks for owner COLLATE "ucs_basic".
CREATE INDEX sg_owner_active ON sg_session (owner COLLATE "ucs_basic", created_us DESC, id) WHERE active;
CREATE UNIQUE INDEX sg_token ON sg_session (token_hash);
CREATE INDEX sg_previous ON sg_session (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX sg_due ON sg_session (expires_us) WHERE active;
CREATE INDEX sg_ended ON sg_session (ended_us) WHERE NOT active;
CREATE INDEX sg_forget ON sg_session ((ended_us + retention_us)) WHERE NOT active;

CREATE TABLE sg_lock (
  session_id       text     COLLATE "C" NOT NULL,
  name             text     COLLATE "C" NOT NULL,
  holder           text,
  fence            bigint   NOT NULL,
  until_us         bigint   NOT NULL,
  released_holders text[]   NOT NULL DEFAULT '{}',            -- who gave it back last, newest first ...
  released_fences  bigint[] NOT NULL DEFAULT '{}',            -- ... and with which fence each had held it
  PRIMARY KEY (session_id, name)
) WITH (fillfactor = 85);

-- What end_owner, sweep and purge answered, so that a repetition does nothing and is answered the same.
CREATE TABLE sg_operation (
  id       text    COLLATE "C" NOT NULL PRIMARY KEY,
  done_us  bigint  NOT NULL,
  ids      text[]  NOT NULL DEFAULT '{}',                     -- of the sessions that it ended, in the order of the answer
  number   bigint  NOT NULL DEFAULT 0,                        -- of the sessions that it forgot
  has_more boolean NOT NULL DEFAULT false
);
CREATE INDEX sg_operation_done ON sg_operation (done_us);

-- One row. deployment_id: drawn once. generation_floor: no slot without history starts below it, so that generations
-- whose history was purged are not used again.
CREATE TABLE sg_store (
  only_row         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
  deployment_id    text    NOT NULL,
  generation_floor bigint  NOT NULL DEFAULT 0
);
INSERT INTO sg_store (deployment_id) VALUES (replace(gen_random_uuid()::text, '-', ''));

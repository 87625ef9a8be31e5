-- Statements for what is asked most often and mostly only reads: a hit is answered by a plain SELECT, and only if there is
-- none is the function called, which looks again, locks, and decides. What the SELECT sees was so when the statement began,
-- so a session that had ended before is never a hit. Everything else calls its function straight away.
--
-- Sent on connections of our own only, which have pg_catalog as their search path. @schema is the store's schema.

-- macro: record
id, scope, owner, nullif(external_id, ''), seat IS NOT NULL, reason, created_us, last_seen_us, expires_us, absolute_us,
ended_us, version, generation, token_hash, previous_hash, previous_until_us, touch_us, data

-- macro: now
coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)

-- name: get
SELECT $1::text, CASE WHEN id IS NULL THEN 'unknown' ELSE 'found' END, NULL::bigint,
       id, scope, owner, nullif(external_id, ''), seat IS NOT NULL,
       CASE WHEN active AND expires_us <= clock.now_us THEN 'expired' ELSE reason END,
       created_us, last_seen_us, expires_us, absolute_us,
       CASE WHEN active AND expires_us <= clock.now_us THEN expires_us ELSE ended_us END,
       version, generation, token_hash, previous_hash, previous_until_us, touch_us, data
  FROM (SELECT @now AS now_us) AS clock LEFT JOIN @schema.sg_session ON id = $3

-- name: load
WITH hit AS MATERIALIZED (
  SELECT $1::text, 'found'::text, NULL::bigint, @record
    FROM @schema.sg_session
   WHERE token_hash = $3 AND active
     AND @now < CASE WHEN $5::boolean THEN least(expires_us, last_seen_us + touch_us) ELSE expires_us END
     AND ($4::text IS NULL OR scope = $4))
SELECT * FROM hit
UNION ALL
SELECT * FROM @schema.sg_load($1, $2, $3, $4, $5) WHERE NOT EXISTS (SELECT FROM hit)

-- macro: hit_in_slot
WITH hit AS MATERIALIZED (
  SELECT $1::text, 'found'::text, NULL::bigint, @record
    FROM @schema.sg_session
   WHERE owner = $5 AND scope = $4 AND external_id = $6 AND seat = 0 AND active AND id <> $3
     AND @now < least(expires_us, last_seen_us + touch_us))
SELECT * FROM hit
UNION ALL

-- name: get_or_create
@hit_in_slot
SELECT * FROM @schema.sg_get_or_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
 WHERE NOT EXISTS (SELECT FROM hit)

-- name: get_or_create_limited
@hit_in_slot
SELECT * FROM @schema.sg_get_or_create_limited($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
 WHERE NOT EXISTS (SELECT FROM hit)

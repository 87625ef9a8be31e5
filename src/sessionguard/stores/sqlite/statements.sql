-- Every statement of the SQLite store. `@record` stands for the columns of a SessionRecord, in its order.
-- `:now` is taken anew for every attempt, so it is never older than the wait for the write lock.

-- macro: record
id, scope, owner, nullif(external_id, ''), seat = 0, reason, created_us, last_seen_us, expires_us, absolute_us,
ended_us, version, generation, token_hash, previous_hash, previous_until_us, touch_us, data

-- macro: touch
last_seen_us = max(last_seen_us, :now), expires_us = min(max(last_seen_us, :now) + idle_us, absolute_us)

-- macro: remembered
substr(:operation || ',' || operations, 1, @kept * 17)

-- macro: finish
active = 0, data = CASE keeps_data WHEN 1 THEN data ELSE '{}' END, operations = @remembered

-- name: identify
SELECT value FROM sg_meta WHERE name = 'deployment_id'

-- name: by_id
SELECT @record FROM sg_session WHERE id = :id

-- name: by_token
SELECT @record FROM sg_session WHERE token_hash = ?

-- name: by_previous_token
SELECT @record FROM sg_session WHERE previous_hash = ?

-- name: by_slot
SELECT @record FROM sg_session WHERE owner = ? AND scope = ? AND external_id = ? AND seat = 0 AND active = 1

-- name: ended_in_slot
SELECT @record FROM sg_session
 WHERE owner = :owner AND scope = :scope AND external_id = :external_id AND seat = 0 AND active = 0
   AND instr(operations, :operation || ',') > 0

-- name: ended_of_owner
SELECT @record FROM sg_session
 WHERE owner = :owner AND scope = :scope AND active = 0 AND instr(operations, :operation || ',') > 0

-- name: owned
SELECT @record FROM sg_session WHERE owner = :owner AND scope = :scope AND active = 1

-- name: has_done
SELECT 1 FROM sg_session WHERE id = :id AND instr(operations, :operation || ',') > 0

-- name: insert
INSERT INTO sg_session (id, scope, owner, external_id, seat, created_us, last_seen_us, expires_us, absolute_us,
                        generation, token_hash, idle_us, touch_us, retention_us, keeps_data, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: next_generation
SELECT 1 + max(coalesce((SELECT max(generation) FROM sg_session
                          WHERE owner = ? AND scope = ? AND external_id = ? AND seat IS NOT NULL), 0),
               (SELECT value FROM sg_meta WHERE name = 'generation_floor'))

-- macro: still_visitors
(:visitor IS NULL OR owner = :visitor)

-- macro: touching
UPDATE sg_session SET @touch WHERE id = :id AND active = 1 AND expires_us > :now

-- name: touch
@touching
RETURNING @record

-- name: touch_of
@touching
   AND @still_visitors
RETURNING @record

-- macro: saving
UPDATE sg_session
   SET data = sg_merge(data, :changes, :remove), version = version + 1, operations = @remembered
 WHERE id = :id AND active = 1 AND expires_us > :now
   AND instr(operations, :operation || ',') = 0
   AND @still_visitors
   AND (:expected_version IS NULL OR version = :expected_version)
   AND sg_size(data, :changes, :remove, :limit_bytes) <= :limit_bytes

-- name: save
@saving
RETURNING @record

-- name: save_fenced
@saving
   AND NOT EXISTS (SELECT 1 FROM sg_lock WHERE session_id = :id AND name = :lock AND fence > :fence)
   AND (:lock <> '' OR lease_floor <= :fence)
RETURNING @record

-- name: rotate
UPDATE sg_session
   SET previous_hash = token_hash, previous_until_us = :now + :grace_us, token_hash = :token_hash
 WHERE id = :id AND active = 1 AND expires_us > :now AND token_hash = :expected_hash
RETURNING @record

-- name: give_owner
UPDATE sg_session SET owner = :owner, seat = NULL WHERE id = :id RETURNING @record

-- macro: ending
UPDATE sg_session SET @finish, reason = :reason, ended_us = :now
 WHERE id = :id AND active = 1 AND expires_us > :now

-- name: end
@ending
RETURNING @record

-- name: end_of
@ending
   AND @still_visitors
RETURNING @record

-- name: end_expired
UPDATE sg_session SET @finish, reason = 'expired', ended_us = expires_us
 WHERE id = :id AND active = 1 AND expires_us <= :now
RETURNING @record

-- name: end_owner
UPDATE sg_session SET @finish, reason = :reason, ended_us = :now
 WHERE owner = :owner AND active = 1 AND expires_us > :now
   AND (:scope IS NULL OR scope = :scope) AND (:keep_id IS NULL OR id <> :keep_id)
RETURNING @record

-- name: sweep
UPDATE sg_session SET @finish, reason = 'expired', ended_us = expires_us
 WHERE rowid IN (SELECT rowid FROM sg_session WHERE active = 1 AND expires_us <= :now ORDER BY expires_us LIMIT :limit)
RETURNING @record

-- macro: due
EXISTS (SELECT 1 FROM sg_session
         WHERE active = 1 AND expires_us <= :now)

-- name: is_due
SELECT @due

-- name: is_due_or_answered
SELECT @due OR EXISTS (SELECT 1 FROM sg_answer WHERE operation = :operation)

-- name: answer
SELECT ended, count, has_more FROM sg_answer WHERE operation = ?

-- name: remember_answer
INSERT INTO sg_answer (operation, at_us, ended, count, has_more) VALUES (?, ?, ?, ?, ?)

-- name: has_old_answers_or_this
SELECT EXISTS (SELECT 1 FROM sg_answer WHERE at_us <= ?) OR EXISTS (SELECT 1 FROM sg_answer WHERE operation = ?)

-- name: forget_old_answers
DELETE FROM sg_answer WHERE operation IN (SELECT operation FROM sg_answer WHERE at_us <= ? ORDER BY at_us LIMIT ?)

-- macro: unleased
(lease_until_us IS NULL OR lease_until_us <= :now)

-- name: forgettable
SELECT rowid, generation, seat FROM sg_session
 WHERE active = 0 AND ended_us + retention_us <= :now AND @unleased ORDER BY ended_us + retention_us LIMIT :limit + 1

-- name: forgettable_at_age
SELECT rowid, generation, seat FROM sg_session
 WHERE active = 0 AND ended_us <= :now - :older_than AND @unleased ORDER BY ended_us LIMIT :limit + 1

-- name: forget_locks
DELETE FROM sg_lock WHERE session_id = (SELECT id FROM sg_session WHERE rowid = ?)

-- name: forget
DELETE FROM sg_session WHERE rowid = ?

-- name: raise_generation_floor
UPDATE sg_meta SET value = max(value, ?) WHERE name = 'generation_floor'

-- macro: listed
(:scope IS NULL OR scope = :scope)
AND (:status IS NULL OR (:status = 'active') = (active = 1 AND expires_us > :now))

-- name: page
SELECT @record FROM sg_session WHERE id > :after_id AND @listed ORDER BY id LIMIT :limit + 1

-- name: page_of_owner
SELECT @record FROM sg_session
 WHERE owner = :owner AND (created_us < :created OR (created_us = :created AND id > :after_id)) AND @listed
 ORDER BY created_us DESC, id LIMIT :limit + 1

-- name: acquire_lock
INSERT INTO sg_lock (session_id, name, holder, fence, until_us)
SELECT :id, :name, :holder, 1, :now + :lease
  FROM sg_session WHERE id = :id AND active = 1 AND expires_us > :now AND @still_visitors
ON CONFLICT (session_id, name) DO UPDATE
   SET fence = fence + (holder IS NOT :holder OR until_us <= :now), holder = :holder, until_us = :now + :lease
 WHERE holder IS NULL OR until_us <= :now OR holder = :holder
RETURNING fence

-- name: renew_lock
UPDATE sg_lock SET until_us = :now + :lease
 WHERE session_id = :id AND name = :name AND holder = :holder AND until_us > :now RETURNING fence

-- name: count_due
SELECT count(*) FROM (SELECT 1 FROM sg_session WHERE active = 1 AND expires_us <= :now LIMIT :most)

-- name: count_living
SELECT count(*) FROM (SELECT 1 FROM sg_session WHERE active = 1 AND expires_us > :now LIMIT :most)

-- name: find_due
SELECT @record FROM sg_session
 WHERE active = 1 AND expires_us <= :now
 ORDER BY expires_us LIMIT :limit

-- macro: had
(taken_us <= :now AND :now < until_us)

-- name: take_turn
INSERT INTO sg_turn (name, holder, until_us, taken_us) VALUES (:name, :holder, :now + :lease, :now)
ON CONFLICT (name) DO UPDATE SET holder = :holder, until_us = :now + :lease, taken_us = :now
 WHERE NOT @had OR holder = :holder
RETURNING 1

-- name: give_turn
DELETE FROM sg_turn WHERE name = :name AND (NOT @had OR holder = :holder)

-- name: has_turn
SELECT EXISTS (SELECT 1 FROM sg_turn WHERE name = :name)

-- macro: release
quote(:holder) || ':' || fence || ','

-- name: release_lock
UPDATE sg_lock SET holder = NULL, released = substr(@release || released, 1, @kept * max(26, length(@release)))
 WHERE session_id = :id AND name = :name AND holder = :holder RETURNING fence

-- name: lock_fence
SELECT fence FROM sg_lock WHERE session_id = :id AND name = :name

-- name: released
SELECT released, quote(:holder) FROM sg_lock WHERE session_id = :id AND name = :name

-- name: leases
SELECT leases, instr(operations, :holder || ',') > 0 FROM sg_session WHERE id = :id

-- name: leased_until
SELECT lease_until_us FROM sg_session WHERE id = :id AND lease_until_us > :now

-- name: keep_leases
UPDATE sg_session SET leases = :leases, lease_floor = :floor, lease_until_us = nullif(:until, 0) WHERE id = :id

-- name: remember
UPDATE sg_session SET operations = @remembered WHERE id = :id

-- name: lease_floor
SELECT lease_floor FROM sg_session WHERE id = :id

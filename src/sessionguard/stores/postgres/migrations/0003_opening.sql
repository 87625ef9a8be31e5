-- Opening sessions: create, get_or_create, replace. They answer the session (part "opened", "found" or "touched"), then
-- each former session of the slot that this operation ended (part "ended").

-- Openers of one slot queue here, so that the losers of a race find the winner's session instead of trying again.
-- Whether a slot is free is for the index sg_slot to say, not for this lock.
CREATE FUNCTION sg_queue_for_slot(p_scope text, p_owner text, p_external_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(
    hashtextextended(json_build_array('sg', current_schema(), p_scope, p_owner, p_external_id)::text, 0));
END
$$;

-- Stores a session; gives NULL if its id, its slot or its generation was taken meanwhile.
CREATE FUNCTION sg_inserted(
  p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean, p_seat integer, p_former text,
  now_us bigint
) RETURNS sg_session LANGUAGE plpgsql AS $$
DECLARE
  s sg_session;
BEGIN
  INSERT INTO sg_session (
    id, scope, owner, external_id, seat, created_us, last_seen_us, expires_us, absolute_us, generation,
    token_hash, idle_us, touch_us, retention_us, keeps_data, data, former_id)
  SELECT p_id, p_scope, p_owner, p_external_id, p_seat, now_us, now_us,
         now_us + least(p_idle, p_absolute), now_us + p_absolute,
         CASE WHEN p_seat IS NULL THEN 1 ELSE
           1 + greatest(
             (SELECT generation_floor FROM sg_store),
             -- Not max(): for a slot of which it knows nothing the planner would read all its history.
             (SELECT generation FROM sg_session
               WHERE owner COLLATE "POSIX" = p_owner AND scope = p_scope AND external_id = p_external_id
                 AND seat IS NOT NULL
               ORDER BY generation DESC LIMIT 1)) END,
         p_token, p_idle, p_touch, p_retention, p_keeps, p_data, p_former
  ON CONFLICT DO NOTHING
  RETURNING * INTO s;
  RETURN s;
END
$$;

CREATE FUNCTION sg_is_known(p_id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM sg_session WHERE id = p_id);
END
$$;

-- The session with this id, which its very command opened before, and whom that command ended. Nothing, if it was purged
-- meanwhile: then the caller goes on as if it had never been.
CREATE FUNCTION sg_opened_before(p_echo text, p_id text) RETURNS SETOF sg_reply LANGUAGE sql STABLE AS $$
  (SELECT r.* FROM sg_session AS s, sg_answer(p_echo, 'opened', NULL, s, NULL) AS r WHERE s.id = p_id)
  UNION ALL
  (SELECT r.* FROM sg_session AS s, sg_session AS f, sg_answer(p_echo, 'ended', NULL, f, NULL) AS r
    WHERE s.id = p_id AND f.id = s.former_id AND NOT f.active)
$$;

CREATE FUNCTION sg_create(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
BEGIN
  FOR attempt IN 1..100 LOOP
    s := sg_inserted(p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch, p_retention,
                     p_keeps, NULL, NULL, coalesce(p_at, sg_now()));
    IF s.id IS NULL THEN
      SELECT * INTO s FROM sg_session WHERE id = p_id;
    END IF;
    -- It is not there if it was purged between the two.
    IF s.id IS NOT NULL THEN
      RETURN NEXT sg_answer(p_echo, 'opened', NULL, s, NULL);
      RETURN;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'the session came and went 100 times meanwhile' USING ERRCODE = 'serialization_failure';
END
$$;

CREATE FUNCTION sg_get_or_create(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  former sg_session;
  now_us bigint;
BEGIN
  -- A hit only reads.
  SELECT * INTO s FROM sg_session
   WHERE owner = p_owner AND scope = p_scope AND external_id = p_external_id AND seat = 0 AND active;
  now_us := coalesce(p_at, sg_now());
  IF s.id <> p_id AND now_us < s.expires_us AND now_us - s.last_seen_us < s.touch_us THEN
    RETURN NEXT sg_answer(p_echo, 'found', NULL, s, NULL);
    RETURN;
  END IF;
  PERFORM sg_queue_for_slot(p_scope, p_owner, p_external_id);
  FOR attempt IN 1..100 LOOP
    SELECT * INTO s FROM sg_session
     WHERE owner = p_owner AND scope = p_scope AND external_id = p_external_id AND seat = 0 AND active
       FOR UPDATE;
    now_us := coalesce(p_at, sg_now());
    IF now_us < s.expires_us AND s.id <> p_id THEN
      IF now_us - s.last_seen_us < s.touch_us THEN
        RETURN NEXT sg_answer(p_echo, 'found', NULL, s, NULL);
      ELSE
        s := sg_touched(s.id, now_us);
        RETURN NEXT sg_answer(p_echo, 'touched', NULL, s, NULL);
      END IF;
      RETURN;
    END IF;
    -- Before anyone is ended; into an empty slot the insertion is tried, and fails if there is this id already.
    IF (s.id IS NOT NULL OR attempt > 1) AND sg_is_known(p_id) THEN
      RETURN QUERY SELECT * FROM sg_opened_before(p_echo, p_id);
      IF FOUND THEN
        RETURN;
      END IF;
      CONTINUE;
    END IF;
    IF s.id IS NOT NULL THEN
      SELECT * INTO former FROM sg_finish(ARRAY[s.id], p_echo, 'expired', NULL);
    END IF;
    s := sg_inserted(p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch, p_retention,
                     p_keeps, 0, former.id, now_us);
    IF s.id IS NOT NULL THEN
      RETURN NEXT sg_answer(p_echo, 'opened', NULL, s, NULL);
      IF former.id IS NOT NULL THEN
        RETURN NEXT sg_answer(p_echo, 'ended', NULL, former, NULL);
      END IF;
      RETURN;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'the slot changed hands 100 times meanwhile' USING ERRCODE = 'serialization_failure';
END
$$;

CREATE FUNCTION sg_replace(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  former sg_session;
  now_us bigint;
BEGIN
  PERFORM sg_queue_for_slot(p_scope, p_owner, p_external_id);
  FOR attempt IN 1..100 LOOP
    SELECT * INTO s FROM sg_session
     WHERE owner = p_owner AND scope = p_scope AND external_id = p_external_id AND seat = 0 AND active
       FOR UPDATE;
    now_us := coalesce(p_at, sg_now());
    IF (s.id IS NOT NULL OR attempt > 1) AND sg_is_known(p_id) THEN
      RETURN QUERY SELECT * FROM sg_opened_before(p_echo, p_id);
      IF FOUND THEN
        RETURN;
      END IF;
      CONTINUE;
    END IF;
    IF s.expires_us <= now_us THEN
      SELECT * INTO former FROM sg_finish(ARRAY[s.id], p_echo, 'expired', NULL);
    ELSIF s.id IS NOT NULL THEN
      SELECT * INTO former FROM sg_finish(ARRAY[s.id], p_echo, 'replaced', now_us);
    END IF;
    s := sg_inserted(p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch, p_retention,
                     p_keeps, 0, former.id, now_us);
    IF s.id IS NOT NULL THEN
      RETURN NEXT sg_answer(p_echo, 'opened', NULL, s, NULL);
      IF former.id IS NOT NULL THEN
        RETURN NEXT sg_answer(p_echo, 'ended', NULL, former, NULL);
      END IF;
      RETURN;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'the slot changed hands 100 times meanwhile' USING ERRCODE = 'serialization_failure';
END
$$;

-- Changing many sessions: end_owner, sweep, purge. They answer each session that they ended (part "ended"), then a row
-- (part "all", or "more" if more are waiting) whose number is how many were forgotten.

-- Operations are remembered for ten minutes.
CREATE FUNCTION sg_forget_operations(now_us bigint, p_limit bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM sg_operation WHERE id IN (
    SELECT id FROM sg_operation WHERE done_us < now_us - 600000000
     ORDER BY done_us LIMIT p_limit FOR UPDATE SKIP LOCKED);
END
$$;

-- Whether this operation is to be done now. False: it was done before, or another connection was just doing it.
-- Each that is remembered makes a few old ones be forgotten, so that the log does not grow faster than purges run.
CREATE FUNCTION sg_claimed(p_operation text, now_us bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO sg_operation (id, done_us) VALUES (p_operation, now_us) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM sg_forget_operations(now_us, 4);
  RETURN true;
END
$$;

-- What this operation ended, as it is now, in the order of its first answer; nothing if it was never done.
CREATE FUNCTION sg_answer_to(p_operation text) RETURNS SETOF sg_reply LANGUAGE plpgsql STABLE AS $$
DECLARE
  done sg_operation;
  s sg_session;
BEGIN
  SELECT * INTO done FROM sg_operation WHERE id = p_operation;
  FOR s IN
    SELECT found.* FROM unnest(done.ids) WITH ORDINALITY AS ended (id, position) JOIN sg_session AS found USING (id)
     ORDER BY ended.position
  LOOP
    RETURN NEXT sg_answer(p_operation, 'ended', NULL, s, NULL);
  END LOOP;
  RETURN NEXT sg_answer(
    p_operation, CASE WHEN done.has_more THEN 'more' ELSE 'all' END, coalesce(done.number, 0), NULL, NULL);
END
$$;

-- Only one at a time ends the sessions of an owner. Whoever repeats the locking below may wait for a session with a lower
-- id than those that it has: two of them would wait for each other. All others who wait while they have a session locked
-- wait for no session: a sweep and a purge skip what is locked, and every other verb locks one only. (Two who end
-- different owners can meet over sessions that are rotated from one to the other meanwhile; then the server ends
-- the wait of one, which has done nothing and is repeated.)
CREATE FUNCTION sg_queue_for_owner(p_owner text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(json_build_array('sg end', current_schema(), p_owner)::text, 0));
END
$$;

CREATE FUNCTION sg_end_owner(p_echo text, p_at bigint, p_owner text, p_scope text, p_keep_id text, p_reason text)
  RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  chosen text[];
  seen text[];
BEGIN
  -- Claimed though it may end nothing: a login that comes after it must survive its repetition.
  IF sg_claimed(p_echo, now_us) THEN
    PERFORM sg_queue_for_owner(p_owner);
    LOOP
      SELECT array_agg(id ORDER BY id) INTO chosen FROM (
        SELECT id FROM sg_session
         WHERE owner COLLATE "ucs_basic" = p_owner AND active
           AND (p_scope IS NULL OR scope = p_scope) AND id IS DISTINCT FROM p_keep_id
         ORDER BY id FOR UPDATE) AS locked;
      -- A session that took the place of one for which this waited is seen only by the next statement.
      SELECT array_agg(id ORDER BY id) INTO seen FROM sg_session
       WHERE owner COLLATE "ucs_basic" = p_owner AND active
         AND (p_scope IS NULL OR scope = p_scope) AND id IS DISTINCT FROM p_keep_id;
      EXIT WHEN chosen IS NOT DISTINCT FROM seen;
    END LOOP;
    now_us := coalesce(p_at, sg_now());
    SELECT array_agg(id ORDER BY id) INTO chosen FROM sg_session WHERE id = ANY (chosen) AND expires_us > now_us;
    PERFORM sg_finish(chosen, p_echo, p_reason, now_us);
    UPDATE sg_operation SET ids = coalesce(chosen, '{}') WHERE id = p_echo;
  END IF;
  RETURN QUERY SELECT * FROM sg_answer_to(p_echo);
END
$$;

CREATE FUNCTION sg_is_due(now_us bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM sg_session
                  WHERE active AND expires_us <= now_us AND (lease_until_us IS NULL OR lease_until_us <= now_us));
END
$$;

CREATE FUNCTION sg_sweep(p_echo text, p_at bigint, p_limit bigint) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  chosen text[];
BEGIN
  IF sg_is_due(now_us) AND sg_claimed(p_echo, now_us) THEN
    -- Whoever has one of them locked is ending or touching it.
    SELECT array_agg(id) INTO chosen FROM (
      SELECT id FROM sg_session
       WHERE active AND expires_us <= now_us AND (lease_until_us IS NULL OR lease_until_us <= now_us)
       ORDER BY expires_us LIMIT p_limit FOR UPDATE SKIP LOCKED) AS locked;
    PERFORM sg_finish(chosen, p_echo, 'expired', NULL);
    UPDATE sg_operation
       SET ids = coalesce(chosen, '{}'), has_more = coalesce(cardinality(chosen), 0) = p_limit AND sg_is_due(now_us)
     WHERE id = p_echo;
  END IF;
  RETURN QUERY SELECT * FROM sg_answer_to(p_echo);
END
$$;

-- Sessions that ended long enough ago: p_older, or each as long as it was to be kept.
CREATE FUNCTION sg_forgettable(p_older bigint, now_us bigint, p_limit bigint) RETURNS SETOF text
  LANGUAGE plpgsql AS $$
BEGIN
  IF p_older IS NULL THEN
    RETURN QUERY SELECT id FROM sg_session WHERE NOT active AND ended_us + retention_us <= now_us
                  ORDER BY ended_us + retention_us LIMIT p_limit;
  ELSE
    RETURN QUERY SELECT id FROM sg_session WHERE NOT active AND ended_us <= now_us - p_older
                  ORDER BY ended_us LIMIT p_limit;
  END IF;
END
$$;

CREATE FUNCTION sg_purge(p_echo text, p_at bigint, p_older bigint, p_limit bigint) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  chosen text[];
  more boolean;
BEGIN
  IF EXISTS (SELECT FROM sg_forgettable(p_older, now_us, 1)) AND sg_claimed(p_echo, now_us) THEN
    SELECT array_agg(id) INTO chosen FROM sg_forgettable(p_older, now_us, p_limit + 1) AS id;
    more := coalesce(cardinality(chosen), 0) > p_limit;
    -- Whoever has one of them locked is forgetting it, or only looks. If that is all, there is nothing to go on with.
    SELECT array_agg(id) INTO chosen FROM (
      SELECT id FROM sg_session WHERE id = ANY (chosen[1:least(p_limit, 2147483647)::integer])
         FOR UPDATE SKIP LOCKED) AS locked;
    more := more AND chosen IS NOT NULL;
    -- The slots' counters go with their history; the floor keeps their numbers used.
    PERFORM sg_raise_floor(max(generation)) FROM sg_session WHERE id = ANY (chosen) AND seat IS NOT NULL;
    DELETE FROM sg_lock WHERE session_id = ANY (chosen);
    DELETE FROM sg_session WHERE id = ANY (chosen);
    UPDATE sg_operation SET number = coalesce(cardinality(chosen), 0), has_more = more WHERE id = p_echo;
  END IF;
  PERFORM sg_forget_operations(now_us, 1000);
  RETURN QUERY SELECT * FROM sg_answer_to(p_echo);
END
$$;

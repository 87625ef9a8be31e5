-- Changing one session: save, touch, rotate, end. Each answers one row, whose part is the outcome.

-- The highest fence with which this lock was ever given out.
CREATE FUNCTION sg_fence(p_id text, p_name text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT fence FROM sg_lock WHERE session_id = p_id AND name = p_name);
END
$$;

-- Judged in this order: unknown, done before, ended, fenced, conflict, too large.
CREATE FUNCTION sg_save(
  p_echo text, p_at bigint, p_id text, p_changes text, p_remove text, p_expected bigint, p_limit bigint,
  p_fence_name text, p_fence bigint
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  merged text;
  outcome text := 'done';
  size bigint := 0;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF s.id IS NULL THEN
    outcome := 'ended';
  ELSIF p_echo = ANY (s.operations) THEN
    outcome := 'done';
  ELSIF NOT s.active OR s.expires_us <= now_us THEN
    outcome := 'ended';
  ELSIF p_fence IS NOT NULL AND p_fence < sg_fence(p_id, p_fence_name) THEN
    -- Who gives out the lock locks the session as well, so no fence can be given out before this save is committed.
    outcome := 'fenced';
  ELSIF p_expected <> s.version THEN
    outcome := 'conflict';
  ELSIF p_changes <> '{}' OR p_remove <> '[]' THEN
    merged := sg_merged(s.data, p_changes, p_remove);
    IF octet_length(merged) > p_limit THEN
      outcome := 'too large';
      size := octet_length(merged);
    ELSE
      UPDATE sg_session
         SET data = merged, version = version + 1, operations = (ARRAY[p_echo] || operations)[1:32]
       WHERE id = p_id RETURNING * INTO s;
    END IF;
  END IF;
  RETURN NEXT sg_answer(p_echo, outcome, size, s, now_us);
END
$$;

CREATE FUNCTION sg_touch(p_echo text, p_at bigint, p_id text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF s.active AND now_us < s.expires_us THEN
    s := sg_touched(p_id, now_us);
    RETURN NEXT sg_answer(p_echo, 'done', 0, s, NULL);
  ELSE
    RETURN NEXT sg_answer(p_echo, 'ended', 0, s, now_us);
  END IF;
END
$$;

CREATE FUNCTION sg_rotate(
  p_echo text, p_at bigint, p_id text, p_expected bytea, p_token bytea, p_grace bigint, p_owner text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  outcome text := 'done';
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF s.id IS NULL OR NOT s.active OR s.expires_us <= now_us THEN
    outcome := 'ended';
  ELSIF s.token_hash = p_expected THEN
    IF p_owner IS NOT NULL AND s.seat IS NOT NULL THEN
      -- The session leaves its slot; the floor keeps the slot's generation used.
      PERFORM sg_raise_floor(s.generation);
    END IF;
    UPDATE sg_session
       SET previous_hash = token_hash, previous_until_us = now_us + p_grace, token_hash = p_token,
           owner = coalesce(p_owner, owner), seat = CASE WHEN p_owner IS NULL THEN seat END
     WHERE id = p_id RETURNING * INTO s;
  ELSIF s.token_hash <> p_token AND s.previous_hash IS DISTINCT FROM p_token THEN
    outcome := 'conflict';
  END IF;
  RETURN NEXT sg_answer(p_echo, outcome, 0, s, now_us);
END
$$;

CREATE FUNCTION sg_end(p_echo text, p_at bigint, p_id text, p_reason text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF s.active AND now_us < s.expires_us THEN
    SELECT * INTO s FROM sg_finish(ARRAY[p_id], p_echo, p_reason, now_us);
    RETURN NEXT sg_answer(p_echo, 'done', 0, s, NULL);
  ELSIF p_echo = ANY (s.operations) THEN
    RETURN NEXT sg_answer(p_echo, 'done', 0, s, now_us);
  ELSE
    RETURN NEXT sg_answer(p_echo, 'ended', 0, s, now_us);
  END IF;
END
$$;

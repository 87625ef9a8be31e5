-- Opening and logging in under a limit: how many sessions of the owner may be active in the scope, this one among them. Each
-- makes room first and then does what it does without a limit, at the same instant and in the same transaction.
--
-- Whoever counts an owner's sessions queues with those who end them (sg_queue_for_owner), then for the slot, and then locks
-- the sessions by id: so two who count see each other, and two who wait for several locks wait in one order.

-- The active sessions of an owner in a scope, locked; none of them is touched or ended by others from now on.
CREATE FUNCTION sg_lock_owned(p_owner text, p_scope text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT coalesce(array_agg(id), '{}') FROM (
    SELECT id FROM sg_session WHERE owner COLLATE "ucs_basic" = p_owner AND scope = p_scope AND active
     ORDER BY id FOR UPDATE) AS locked);
END
$$;

-- Ends those of the locked sessions that have to go for one more, the expired ones before all others; gives their ids. NULL:
-- there may be no more, and nothing was changed.
CREATE FUNCTION sg_make_room(p_locked text[], p_echo text, p_most bigint, p_on_limit text, now_us bigint) RETURNS text[]
  LANGUAGE plpgsql AS $$
DECLARE
  excess bigint := 1 - p_most + (SELECT count(*) FROM sg_session WHERE id = ANY (p_locked) AND now_us < expires_us);
  over text[];
  leaving text[] := '{}';
BEGIN
  IF cardinality(p_locked) < p_most THEN
    RETURN '{}';
  END IF;
  IF excess > 0 AND p_on_limit = 'refuse' THEN
    RETURN NULL;
  END IF;
  SELECT coalesce(array_agg(id), '{}') INTO over FROM sg_session WHERE id = ANY (p_locked) AND expires_us <= now_us;
  IF excess > 0 THEN
    SELECT array_agg(id) INTO leaving FROM (
      SELECT id FROM sg_session WHERE id = ANY (p_locked) AND now_us < expires_us
       ORDER BY CASE WHEN p_on_limit = 'end_oldest' THEN created_us ELSE last_seen_us END, id LIMIT excess) AS first_to_go;
  END IF;
  PERFORM sg_finish(over, p_echo, 'expired', NULL);
  PERFORM sg_finish(leaving, p_echo, 'limit', now_us);
  RETURN over || leaving;
END
$$;

CREATE FUNCTION sg_ended(p_echo text, p_ids text[]) RETURNS SETOF sg_reply LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT r.* FROM sg_session AS f, sg_answer(p_echo, 'ended', NULL, f, NULL) AS r WHERE f.id = ANY (p_ids);
END
$$;

-- Whom this very operation has ended before. It reads the owner's history, but only for a repetition.
CREATE FUNCTION sg_ended_before(p_echo text, p_owner text, p_scope text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT r.* FROM sg_session AS f, sg_answer(p_echo, 'ended', NULL, f, NULL) AS r
    WHERE f.owner COLLATE "POSIX" = p_owner AND f.scope = p_scope AND NOT f.active AND p_echo = ANY (f.operations);
END
$$;

-- Answers as opening does without a limit, or with the one part "full".
CREATE FUNCTION sg_open_limited(
  p_verb text, p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea,
  p_data text, p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean, p_most bigint,
  p_on_limit text
) RETURNS SETOF sg_reply LANGUAGE plpgsql AS $$
DECLARE
  s sg_session;
  locked text[];
  ended text[];
  now_us bigint;
BEGIN
  PERFORM sg_queue_for_owner(p_owner);
  IF p_verb <> 'create' THEN
    PERFORM sg_queue_for_slot(p_scope, p_owner, p_external_id);
  END IF;
  locked := sg_lock_owned(p_owner, p_scope);
  now_us := coalesce(p_at, sg_now());
  IF p_verb <> 'create' THEN
    SELECT * INTO s FROM sg_session WHERE id = ANY (locked) AND external_id = p_external_id AND seat = 0;
  END IF;
  IF p_verb <> 'get_or_create' OR s.id IS NULL OR s.id = p_id OR s.expires_us <= now_us THEN
    -- It opens, or has opened before.
    RETURN QUERY SELECT r.* FROM sg_session AS k, sg_answer(p_echo, 'opened', NULL, k, NULL) AS r WHERE k.id = p_id;
    IF FOUND THEN
      RETURN QUERY SELECT * FROM sg_ended_before(p_echo, p_owner, p_scope);
      RETURN;
    END IF;
    ended := sg_make_room(array_remove(locked, s.id), p_echo, p_most, p_on_limit, now_us);
    IF ended IS NULL THEN
      RETURN NEXT sg_answer(p_echo, 'full', NULL, NULL, NULL);
      RETURN;
    END IF;
  END IF;
  IF p_verb = 'create' THEN
    RETURN QUERY SELECT * FROM sg_create(p_echo, now_us, p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle,
                                         p_absolute, p_touch, p_retention, p_keeps);
  ELSIF p_verb = 'replace' THEN
    RETURN QUERY SELECT * FROM sg_replace(p_echo, now_us, p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle,
                                          p_absolute, p_touch, p_retention, p_keeps);
  ELSE
    RETURN QUERY SELECT * FROM sg_get_or_create(p_echo, now_us, p_id, p_scope, p_owner, p_external_id, p_token, p_data,
                                                p_idle, p_absolute, p_touch, p_retention, p_keeps);
  END IF;
  RETURN QUERY SELECT * FROM sg_ended(p_echo, ended);
END
$$;

CREATE FUNCTION sg_create_limited(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean, p_most bigint, p_on_limit text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_open_limited(
    'create', p_echo, p_at, p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch,
    p_retention, p_keeps, p_most, p_on_limit);
END
$$;

CREATE FUNCTION sg_get_or_create_limited(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean, p_most bigint, p_on_limit text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_open_limited(
    'get_or_create', p_echo, p_at, p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch,
    p_retention, p_keeps, p_most, p_on_limit);
END
$$;

CREATE FUNCTION sg_replace_limited(
  p_echo text, p_at bigint, p_id text, p_scope text, p_owner text, p_external_id text, p_token bytea, p_data text,
  p_idle bigint, p_absolute bigint, p_touch bigint, p_retention bigint, p_keeps boolean, p_most bigint, p_on_limit text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_open_limited(
    'replace', p_echo, p_at, p_id, p_scope, p_owner, p_external_id, p_token, p_data, p_idle, p_absolute, p_touch,
    p_retention, p_keeps, p_most, p_on_limit);
END
$$;

-- Answers as a rotation does without a limit, and then whom it ended (part "ended"); or with the part "full".
CREATE FUNCTION sg_rotate_limited(
  p_echo text, p_at bigint, p_id text, p_expected bytea, p_token bytea, p_grace bigint, p_owner text, p_most bigint,
  p_on_limit text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  locked text[];
  ended text[] := '{}';
  now_us bigint;
BEGIN
  PERFORM sg_queue_for_owner(p_owner);
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  locked := sg_lock_owned(p_owner, s.scope);
  now_us := coalesce(p_at, sg_now());
  -- One that is the owner's already adds none.
  IF s.active AND now_us < s.expires_us AND s.token_hash = p_expected AND s.owner <> p_owner THEN
    ended := sg_make_room(locked, p_echo, p_most, p_on_limit, now_us);
    IF ended IS NULL THEN
      RETURN NEXT sg_answer(p_echo, 'full', 0, s, now_us);
      RETURN;
    END IF;
  END IF;
  RETURN QUERY SELECT * FROM sg_rotate(p_echo, now_us, p_id, p_expected, p_token, p_grace, p_owner);
  IF s.active AND now_us < s.expires_us AND p_token IN (s.token_hash, s.previous_hash) THEN
    RETURN QUERY SELECT * FROM sg_ended_before(p_echo, p_owner, s.scope);
  ELSE
    RETURN QUERY SELECT * FROM sg_ended(p_echo, ended);
  END IF;
END
$$;

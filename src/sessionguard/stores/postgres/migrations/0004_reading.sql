-- Reading: load, get, page.

-- Part "found" or "touched", or why there is no session for this token.
CREATE FUNCTION sg_load(p_echo text, p_at bigint, p_token bytea, p_scope text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  part text := 'found';
BEGIN
  SELECT * INTO s FROM sg_session WHERE token_hash = p_token;
  IF s.id IS NULL THEN
    SELECT * INTO s FROM sg_session WHERE previous_hash = p_token;
  END IF;
  now_us := coalesce(p_at, sg_now());
  part := CASE WHEN s.id IS NULL THEN 'unknown' ELSE coalesce(sg_refusal(s, p_token, p_scope, now_us), 'found') END;
  IF part = 'found' AND now_us - s.last_seen_us >= s.touch_us THEN
    -- Read again under the lock: others may have ended, rotated or touched it, and what they did is what counts.
    SELECT * INTO s FROM sg_session
     WHERE id = s.id AND (token_hash = p_token OR previous_hash = p_token) FOR UPDATE;
    now_us := coalesce(p_at, sg_now());
    part := CASE WHEN s.id IS NULL THEN 'unknown' ELSE coalesce(sg_refusal(s, p_token, p_scope, now_us), 'found') END;
    IF part = 'found' AND now_us - s.last_seen_us >= s.touch_us THEN
      s := sg_touched(s.id, now_us);
      part := 'touched';
    END IF;
  END IF;
  RETURN NEXT sg_answer(p_echo, part, NULL, s, NULL);
END
$$;

CREATE FUNCTION sg_get(p_echo text, p_at bigint, p_id text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id;
  now_us := coalesce(p_at, sg_now());
  RETURN NEXT sg_answer(p_echo, CASE WHEN s.id IS NULL THEN 'unknown' ELSE 'found' END, NULL, s, now_us);
END
$$;

-- Up to p_limit sessions (part "listed") after the position (p_created, p_after_id), then a row whose number is 1 if more
-- follow. Of one owner: newest first. Of all: by id, and p_created is not looked at.
CREATE FUNCTION sg_page(
  p_echo text, p_at bigint, p_scope text, p_owner text, p_status text, p_limit bigint, p_created bigint, p_after_id text
) RETURNS SETOF sg_reply LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  s sg_session;
  room bigint := p_limit;
BEGIN
  FOR s IN SELECT * FROM sg_listed(p_scope, p_owner, p_status, p_limit + 1, p_created, p_after_id, now_us) LOOP
    room := room - 1;
    EXIT WHEN room < 0;
    RETURN NEXT sg_answer(p_echo, 'listed', NULL, s, now_us);
  END LOOP;
  RETURN NEXT sg_answer(p_echo, 'page', (room < 0)::integer, NULL, NULL);
END
$$;

CREATE FUNCTION sg_listed(
  p_scope text, p_owner text, p_status text, p_limit bigint, p_created bigint, p_after_id text, now_us bigint
) RETURNS SETOF sg_session LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF p_owner IS NULL THEN
    RETURN QUERY SELECT * FROM sg_session
     WHERE id > p_after_id
       AND (p_scope IS NULL OR scope = p_scope)
       AND (p_status IS NULL OR (p_status = 'active') = (active AND expires_us > now_us))
     ORDER BY id LIMIT p_limit;
  ELSIF p_status = 'active' THEN
    RETURN QUERY SELECT * FROM sg_session
     WHERE owner COLLATE "ucs_basic" = p_owner AND active AND expires_us > now_us
       AND created_us <= p_created AND (created_us < p_created OR id > p_after_id)
       AND (p_scope IS NULL OR scope = p_scope)
     ORDER BY created_us DESC, id LIMIT p_limit;
  ELSE
    RETURN QUERY SELECT * FROM sg_session
     WHERE owner COLLATE "POSIX" = p_owner AND created_us <= p_created AND (created_us < p_created OR id > p_after_id)
       AND (p_scope IS NULL OR scope = p_scope)
       AND (p_status IS NULL OR NOT (active AND expires_us > now_us))
     ORDER BY created_us DESC, id LIMIT p_limit;
  END IF;
END
$$;

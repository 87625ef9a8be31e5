-- Changing a session that the caller knows as a visitor's: only as long as it is that visitor's. Once it has received its
-- owner, each of these changes nothing and answers that it is over; else each does what it does for any session, whose row
-- stays locked in between.

-- No row: it is the visitor's still, or unknown, or this very operation was done before the login.
CREATE FUNCTION sg_taken(p_echo text, p_at bigint, p_id text, p_visitor text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql AS $$
DECLARE
  s sg_session;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  IF s.owner <> p_visitor AND NOT p_echo = ANY (s.operations) THEN
    RETURN NEXT sg_answer(p_echo, 'ended', 0, s, coalesce(p_at, sg_now()));
  END IF;
END
$$;

CREATE FUNCTION sg_save_of(
  p_echo text, p_at bigint, p_id text, p_changes text, p_remove text, p_expected bigint, p_limit bigint,
  p_fence_name text, p_fence bigint, p_visitor text
) RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_taken(p_echo, p_at, p_id, p_visitor);
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM sg_save(p_echo, p_at, p_id, p_changes, p_remove, p_expected, p_limit, p_fence_name, p_fence);
  END IF;
END
$$;

CREATE FUNCTION sg_touch_of(p_echo text, p_at bigint, p_id text, p_visitor text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_taken(p_echo, p_at, p_id, p_visitor);
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM sg_touch(p_echo, p_at, p_id);
  END IF;
END
$$;

CREATE FUNCTION sg_end_of(p_echo text, p_at bigint, p_id text, p_reason text, p_visitor text) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT * FROM sg_taken(p_echo, p_at, p_id, p_visitor);
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM sg_end(p_echo, p_at, p_id, p_reason);
  END IF;
END
$$;

-- Locks of a session: taken, kept and given back; the fence only ever grows. Each answers one row: outcome and fence.
-- The echo is not the holder: who asks about a lock again and again would know each answer by the same.

CREATE FUNCTION sg_acquire_lock(p_echo text, p_at bigint, p_id text, p_name text, p_holder text, p_lease bigint)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  held sg_lock;
  now_us bigint;
BEGIN
  -- A save under this lock has the session locked while it looks at the fence: so must whoever raises the fence.
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF s.id IS NULL OR NOT s.active OR s.expires_us <= now_us THEN
    RETURN QUERY SELECT p_echo, 'ended', 0::bigint;
    RETURN;
  END IF;
  INSERT INTO sg_lock AS l (session_id, name, holder, fence, until_us)
  VALUES (p_id, p_name, p_holder, 1, now_us + p_lease)
  ON CONFLICT (session_id, name) DO UPDATE
     SET fence = l.fence + (l.holder IS DISTINCT FROM p_holder OR l.until_us <= now_us)::integer,
         holder = p_holder, until_us = now_us + p_lease
   WHERE l.holder IS NULL OR l.until_us <= now_us OR l.holder = p_holder
  RETURNING * INTO held;
  IF held.fence IS NOT NULL THEN
    RETURN QUERY SELECT p_echo, 'done', held.fence;
  ELSE
    RETURN QUERY SELECT p_echo, 'conflict', l.fence FROM sg_lock AS l WHERE l.session_id = p_id AND l.name = p_name;
  END IF;
END
$$;

CREATE FUNCTION sg_renew_lock(p_echo text, p_at bigint, p_id text, p_name text, p_holder text, p_lease bigint)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  held sg_lock;
  now_us bigint;
BEGIN
  SELECT * INTO held FROM sg_lock WHERE session_id = p_id AND name = p_name FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  IF held.holder = p_holder AND now_us < held.until_us THEN
    UPDATE sg_lock SET until_us = now_us + p_lease WHERE session_id = p_id AND name = p_name;
    RETURN QUERY SELECT p_echo, 'done', held.fence;
  ELSE
    RETURN QUERY SELECT p_echo, 'conflict', coalesce(held.fence, 0);
  END IF;
END
$$;

CREATE FUNCTION sg_release_lock(p_echo text, p_id text, p_name text, p_holder text)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  held sg_lock;
  released integer;
BEGIN
  SELECT * INTO held FROM sg_lock WHERE session_id = p_id AND name = p_name FOR UPDATE;
  released := array_position(held.released_holders, p_holder);
  IF held.holder = p_holder THEN
    UPDATE sg_lock
       SET holder = NULL,
           released_holders = (ARRAY[p_holder] || released_holders)[1:32],
           released_fences = (ARRAY[fence] || released_fences)[1:32]
     WHERE session_id = p_id AND name = p_name;
    RETURN QUERY SELECT p_echo, 'done', held.fence;
  ELSIF released IS NOT NULL THEN
    RETURN QUERY SELECT p_echo, 'done', held.released_fences[released];
  ELSE
    RETURN QUERY SELECT p_echo, 'conflict', coalesce(held.fence, 0);
  END IF;
END
$$;

-- Locking and holding a session that the caller knows as a visitor's: only as long as it is that visitor's, as with changes.

CREATE FUNCTION sg_acquire_lock_of(
  p_echo text, p_at bigint, p_id text, p_name text, p_holder text, p_lease bigint, p_visitor text
) RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  IF s.owner <> p_visitor THEN
    RETURN QUERY SELECT p_echo, 'ended', 0::bigint;
  ELSE
    RETURN QUERY SELECT * FROM sg_acquire_lock(p_echo, p_at, p_id, p_name, p_holder, p_lease);
  END IF;
END
$$;

-- Who held it at the login keeps the lease as he does once a session is over: it is not touched, and nobody new comes.
CREATE FUNCTION sg_hold_lease_of(
  p_echo text, p_at bigint, p_id text, p_holder text, p_lease bigint, p_visitor text
) RETURNS TABLE (echo text, part text, number bigint, until_us bigint, lowest bigint, reason text)
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  living jsonb;
  fence bigint;
  why text;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  IF s.id IS NULL OR s.owner = p_visitor THEN
    RETURN QUERY SELECT * FROM sg_hold_lease(p_echo, p_at, p_id, p_holder, p_lease);
    RETURN;
  END IF;
  now_us := coalesce(p_at, sg_now());
  why := coalesce(sg_reason(s, now_us), 'login');
  living := sg_living(s.leases, now_us);
  fence := (living -> p_holder ->> 0)::bigint;
  IF fence IS NULL OR p_holder = ANY (s.operations) THEN
    RETURN QUERY SELECT p_echo, CASE WHEN p_holder = ANY (s.operations) THEN 'conflict' ELSE 'ended' END,
                        0::bigint, 0::bigint, 0::bigint, why;
    RETURN;
  END IF;
  living := living || jsonb_build_object(p_holder, jsonb_build_array(fence, now_us + p_lease));
  s := sg_keep_leases(p_id, living, s.lease_count, now_us, false);
  RETURN QUERY SELECT p_echo, 'done', fence, now_us + p_lease, s.lease_floor, why;
END
$$;

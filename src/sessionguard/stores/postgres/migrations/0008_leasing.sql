-- Leases: who, on any machine, holds a session. They are kept in the session's own row, so that nothing is left of one that
-- is over; lease_until_us, which was there before, is when the last of them lapses.

ALTER TABLE sg_session
  ADD COLUMN lease_count bigint NOT NULL DEFAULT 0,           -- the highest fence that was ever given out
  ADD COLUMN lease_floor bigint NOT NULL DEFAULT 0,           -- saves under a lease with a lower fence are refused
  ADD COLUMN leases      jsonb  NOT NULL DEFAULT '{}';        -- holder -> [fence, when it lapses]

-- Those that have not lapsed.
CREATE FUNCTION sg_living(p_leases jsonb, now_us bigint) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_leases = '{}' THEN
    RETURN p_leases;
  END IF;
  RETURN (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(p_leases)
           WHERE now_us < (value ->> 1)::bigint);
END
$$;

-- When the last of them lapses; 0 if there is none.
CREATE FUNCTION sg_last_lapse(p_leases jsonb) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (SELECT coalesce(max((value ->> 1)::bigint), 0) FROM jsonb_each(p_leases));
END
$$;

-- The row of the session, which the caller has locked, with these leases; touched if it is active.
CREATE FUNCTION sg_keep_leases(p_id text, p_leases jsonb, p_count bigint, now_us bigint, p_touch boolean)
  RETURNS sg_session LANGUAGE plpgsql AS $$
DECLARE
  s sg_session;
BEGIN
  UPDATE sg_session
     SET leases = p_leases, lease_count = p_count, lease_until_us = nullif(sg_last_lapse(p_leases), 0),
         lease_floor = (SELECT coalesce(min((value ->> 0)::bigint), p_count) FROM jsonb_each(p_leases)),
         last_seen_us = CASE WHEN p_touch THEN greatest(last_seen_us, now_us) ELSE last_seen_us END,
         expires_us = CASE WHEN p_touch THEN least(greatest(last_seen_us, now_us) + idle_us, absolute_us)
                           ELSE expires_us END
   WHERE id = p_id RETURNING * INTO s;
  RETURN s;
END
$$;

-- Why the session is over at this instant, or NULL.
CREATE FUNCTION sg_reason(s sg_session, now_us bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN s.active AND s.expires_us <= now_us THEN 'expired' ELSE s.reason END
$$;

-- Both answer one row: outcome, fence, when it lapses (given back: when the others do), lowest fence, why it is over.
CREATE FUNCTION sg_hold_lease(p_echo text, p_at bigint, p_id text, p_holder text, p_lease bigint)
  RETURNS TABLE (echo text, part text, number bigint, until_us bigint, lowest bigint, reason text)
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  living jsonb;
  fence bigint;
  why text;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  why := sg_reason(s, now_us);
  IF p_holder = ANY (s.operations) THEN
    -- Given back before: this is a repetition that comes late.
    RETURN QUERY SELECT p_echo, 'conflict', 0::bigint, 0::bigint, 0::bigint, why;
    RETURN;
  END IF;
  living := sg_living(s.leases, now_us);
  fence := coalesce((living -> p_holder ->> 0)::bigint, CASE WHEN why IS NULL THEN s.lease_count + 1 END);
  IF fence IS NULL THEN
    RETURN QUERY SELECT p_echo, 'ended', 0::bigint, 0::bigint, 0::bigint, why;
    RETURN;
  END IF;
  living := living || jsonb_build_object(p_holder, jsonb_build_array(fence, now_us + p_lease));
  s := sg_keep_leases(p_id, living, greatest(s.lease_count, fence), now_us, why IS NULL);
  RETURN QUERY SELECT p_echo, 'done', fence, now_us + p_lease, s.lease_floor, why;
END
$$;

CREATE FUNCTION sg_release_lease(p_echo text, p_at bigint, p_id text, p_holder text)
  RETURNS TABLE (echo text, part text, number bigint, until_us bigint, lowest bigint, reason text)
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
  living jsonb;
  outcome text;
  why text;
BEGIN
  SELECT * INTO s FROM sg_session WHERE id = p_id FOR UPDATE;
  now_us := coalesce(p_at, sg_now());
  why := sg_reason(s, now_us);
  living := sg_living(s.leases, now_us);
  outcome := CASE WHEN living ? p_holder OR p_holder = ANY (s.operations) THEN 'done' ELSE 'conflict' END;
  IF living ? p_holder THEN
    UPDATE sg_session SET operations = (ARRAY[p_holder] || operations)[1:32] WHERE id = p_id;
  END IF;
  IF s.leases - p_holder <> s.leases OR living <> s.leases THEN
    living := living - p_holder;
    PERFORM sg_keep_leases(p_id, living, s.lease_count, now_us, false);
  END IF;
  RETURN QUERY SELECT p_echo, outcome, 0::bigint, sg_last_lapse(living), 0::bigint, why;
END
$$;

-- Part "held", and when the last lease lapses, or "free".
CREATE FUNCTION sg_leased_until(p_echo text, p_at bigint, p_id text)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  found_us bigint;
BEGIN
  SELECT lease_until_us INTO found_us FROM sg_session
   WHERE id = p_id AND lease_until_us > coalesce(p_at, sg_now());
  RETURN QUERY SELECT p_echo, CASE WHEN found_us IS NULL THEN 'free' ELSE 'held' END, found_us;
END
$$;

-- A save under a lease names no lock.
CREATE OR REPLACE FUNCTION sg_fence(p_id text, p_name text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  IF p_name = '' THEN
    RETURN (SELECT lease_floor FROM sg_session WHERE id = p_id);
  END IF;
  RETURN (SELECT fence FROM sg_lock WHERE session_id = p_id AND name = p_name);
END
$$;

-- A lease keeps the files of a session and not the session: that ends when its time is over.
CREATE OR REPLACE FUNCTION sg_is_due(now_us bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM sg_session WHERE active AND expires_us <= now_us);
END
$$;

CREATE OR REPLACE FUNCTION sg_sweep(p_echo text, p_at bigint, p_limit bigint) RETURNS SETOF sg_reply
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  chosen text[];
BEGIN
  IF sg_is_due(now_us) AND sg_claimed(p_echo, now_us) THEN
    -- Whoever has one of them locked is ending or touching it.
    SELECT array_agg(id) INTO chosen FROM (
      SELECT id FROM sg_session WHERE active AND expires_us <= now_us
       ORDER BY expires_us LIMIT p_limit FOR UPDATE SKIP LOCKED) AS locked;
    PERFORM sg_finish(chosen, p_echo, 'expired', NULL);
    UPDATE sg_operation
       SET ids = coalesce(chosen, '{}'), has_more = coalesce(cardinality(chosen), 0) = p_limit AND sg_is_due(now_us)
     WHERE id = p_echo;
  END IF;
  RETURN QUERY SELECT * FROM sg_answer_to(p_echo);
END
$$;

-- But who forgot a session would no longer know that somebody uses its files.
CREATE OR REPLACE FUNCTION sg_forgettable(p_older bigint, now_us bigint, p_limit bigint) RETURNS SETOF text
  LANGUAGE plpgsql AS $$
BEGIN
  IF p_older IS NULL THEN
    RETURN QUERY SELECT id FROM sg_session
                  WHERE NOT active AND ended_us + retention_us <= now_us
                    AND (lease_until_us IS NULL OR lease_until_us <= now_us)
                  ORDER BY ended_us + retention_us LIMIT p_limit;
  ELSE
    RETURN QUERY SELECT id FROM sg_session
                  WHERE NOT active AND ended_us <= now_us - p_older
                    AND (lease_until_us IS NULL OR lease_until_us <= now_us)
                  ORDER BY ended_us LIMIT p_limit;
  END IF;
END
$$;

-- Loading without being seen: p_extends false. The first form stays for processes of the release before.
CREATE FUNCTION sg_load(p_echo text, p_at bigint, p_token bytea, p_scope text, p_extends boolean)
  RETURNS SETOF sg_reply LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  s sg_session;
  now_us bigint;
BEGIN
  IF p_extends THEN
    RETURN QUERY SELECT * FROM sg_load(p_echo, p_at, p_token, p_scope);
    RETURN;
  END IF;
  SELECT * INTO s FROM sg_session WHERE token_hash = p_token;
  IF s.id IS NULL THEN
    SELECT * INTO s FROM sg_session WHERE previous_hash = p_token;
  END IF;
  now_us := coalesce(p_at, sg_now());
  RETURN NEXT sg_answer(
    p_echo, CASE WHEN s.id IS NULL THEN 'unknown' ELSE coalesce(sg_refusal(s, p_token, p_scope, now_us), 'found') END,
    NULL, s, NULL);
END
$$;

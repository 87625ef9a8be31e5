-- What every verb is made of: the clock, the form of an answer, and the changes that several verbs make.
--
-- Each verb of the store is one function, so that it is one round trip and one transaction, decided here and not by
-- a client that would have to try again. Rules for all of them:
--   * A row that may change is locked first, and the clock is asked after the wait for the lock, so that no wait makes
--     a session look younger than it is. In READ COMMITTED each statement sees what was committed before it began.
--   * Every row that is answered carries p_echo, by which the client knows that it is the answer to its question.
--   * Names are found in the schema that the function was made in, whatever search path its caller has.

CREATE FUNCTION sg_now() RETURNS bigint LANGUAGE sql VOLATILE
  AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

CREATE TYPE sg_reply AS (
  echo text, part text, number bigint,
  id text, scope text, owner text, external_id text, exclusive boolean, reason text,
  created_us bigint, last_seen_us bigint, expires_us bigint, absolute_us bigint, ended_us bigint,
  version bigint, generation bigint, token_hash bytea, previous_hash bytea, previous_until_us bigint,
  touch_us bigint, data text
);

-- One row of an answer: `s` as it is at `now_us`, where one that has expired reads as ended. NULL: as it is stored.
CREATE FUNCTION sg_answer(p_echo text, p_part text, p_number bigint, s sg_session, now_us bigint) RETURNS sg_reply
  LANGUAGE sql IMMUTABLE AS $$
  SELECT ROW(
    p_echo, p_part, p_number,
    s.id, s.scope, s.owner, nullif(s.external_id, ''), s.seat IS NOT NULL,
    CASE WHEN s.active AND s.expires_us <= now_us THEN 'expired' ELSE s.reason END,
    s.created_us, s.last_seen_us, s.expires_us, s.absolute_us,
    CASE WHEN s.active AND s.expires_us <= now_us THEN s.expires_us ELSE s.ended_us END,
    s.version, s.generation, s.token_hash, s.previous_hash, s.previous_until_us, s.touch_us, s.data
  )::sg_reply
$$;

-- Why a token that led to `s` is refused, or NULL.
CREATE FUNCTION sg_refusal(s sg_session, p_token bytea, p_scope text, now_us bigint) RETURNS text
  LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN s.reason = 'expired' THEN 'expired'
    WHEN s.reason IS NOT NULL THEN 'ended'
    WHEN s.expires_us <= now_us THEN 'expired'
    WHEN s.token_hash <> p_token AND coalesce(s.previous_until_us, 0) <= now_us THEN 'after grace'
    WHEN s.scope <> p_scope THEN 'foreign scope'
  END
$$;

-- What follows is in PL/pgSQL also where one statement says it all, for that keeps its plan.

-- Replaces top-level fields whole and removes others. By json, not jsonb: it keeps the text of every value as it is.
CREATE FUNCTION sg_merged(p_data text, p_changes text, p_remove text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (
    WITH changed AS (SELECT key, value FROM json_each(p_changes::json)),
         removed AS (SELECT value AS key FROM json_array_elements_text(p_remove::json)),
         merged AS (
           SELECT key, value FROM json_each(p_data::json) AS stored
            WHERE NOT EXISTS (SELECT FROM changed WHERE changed.key = stored.key)
           UNION ALL
           SELECT key, value FROM changed
         )
    SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value::text, ','), '') || '}' FROM merged
     WHERE NOT EXISTS (SELECT FROM removed WHERE removed.key = merged.key));
END
$$;

-- The changes below are made to rows that the caller has locked.

CREATE FUNCTION sg_touched(p_id text, now_us bigint) RETURNS sg_session LANGUAGE plpgsql AS $$
DECLARE
  s sg_session;
BEGIN
  UPDATE sg_session
     SET last_seen_us = greatest(last_seen_us, now_us),
         expires_us = least(greatest(last_seen_us, now_us) + idle_us, absolute_us)
   WHERE id = p_id RETURNING * INTO s;
  RETURN s;
END
$$;

-- p_ended_us NULL: each ended when it expired.
CREATE FUNCTION sg_finish(p_ids text[], p_operation text, p_reason text, p_ended_us bigint) RETURNS SETOF sg_session
  LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
  UPDATE sg_session
     SET active = false, reason = p_reason, ended_us = coalesce(p_ended_us, expires_us),
         data = CASE WHEN keeps_data THEN data ELSE '{}' END,
         operations = (ARRAY[p_operation] || operations)[1:32]
   WHERE id = ANY (p_ids) RETURNING *;
END
$$;

CREATE FUNCTION sg_raise_floor(p_generation bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE sg_store SET generation_floor = p_generation WHERE generation_floor < p_generation;
END
$$;

CREATE FUNCTION sg_identify(p_echo text) RETURNS TABLE (echo text, deployment_id text)
  LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY SELECT p_echo, s.deployment_id FROM sg_store AS s;
END
$$;

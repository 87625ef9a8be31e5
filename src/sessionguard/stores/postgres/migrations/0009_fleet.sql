-- What a clean-up asks about the whole schema: what is due, and whose turn it is to do what one runner does at a time.

-- A turn that was given back leaves no row.
CREATE TABLE sg_turn (
  name     text   COLLATE "C" NOT NULL PRIMARY KEY,
  holder   text   NOT NULL,
  until_us bigint NOT NULL
);

-- Counts what is due, in growing parts, until the others are seen to be enough or to be all. Both are counted by sg_due.
CREATE FUNCTION sg_census(p_echo text, p_at bigint, p_share double precision, p_floor bigint)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  most bigint := greatest(p_floor, 1);
  enough bigint;
  due bigint;
  living bigint := 0;
BEGIN
  LOOP
    SELECT count(*) INTO due FROM (SELECT FROM sg_session WHERE active AND expires_us <= now_us
                                    ORDER BY expires_us LIMIT most) AS counted;
    EXIT WHEN due < p_floor;
    enough := least(greatest(floor(due / p_share) - due, 0) + 1, 4611686018427387904)::bigint;
    SELECT count(*) INTO living FROM (SELECT FROM sg_session WHERE active AND expires_us > now_us
                                       ORDER BY expires_us LIMIT enough) AS counted;
    -- Fewer due than asked for: those are all. Fewer living than would be enough: any more due is too many as well.
    EXIT WHEN due < most OR living < enough;
    most := most * 4;
  END LOOP;
  RETURN QUERY VALUES (p_echo, 'due', due), (p_echo, 'active', due + living);
END
$$;

-- What a sweep would end, the longest expired first, and a row to end with.
CREATE FUNCTION sg_find_due(p_echo text, p_at bigint, p_limit bigint) RETURNS SETOF sg_reply
  LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
  s sg_session;
BEGIN
  FOR s IN
    SELECT * FROM sg_session
     WHERE active AND expires_us <= now_us
     ORDER BY expires_us LIMIT p_limit
  LOOP
    RETURN NEXT sg_answer(p_echo, 'due', NULL, s, NULL);
  END LOOP;
  RETURN NEXT sg_answer(p_echo, 'all', 0, NULL, NULL);
END
$$;

CREATE FUNCTION sg_take_turn(p_echo text, p_at bigint, p_name text, p_holder text, p_lease bigint)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
BEGIN
  INSERT INTO sg_turn AS t (name, holder, until_us) VALUES (p_name, p_holder, now_us + p_lease)
  ON CONFLICT (name) DO UPDATE SET holder = p_holder, until_us = coalesce(p_at, sg_now()) + p_lease
   WHERE t.until_us <= coalesce(p_at, sg_now()) OR t.holder = p_holder;
  RETURN QUERY SELECT p_echo, CASE WHEN FOUND THEN 'done' ELSE 'conflict' END, 0::bigint;
END
$$;

CREATE FUNCTION sg_give_turn(p_echo text, p_at bigint, p_name text, p_holder text)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM sg_turn AS t
   WHERE t.name = p_name AND (t.until_us <= coalesce(p_at, sg_now()) OR t.holder = p_holder);
  RETURN QUERY SELECT p_echo, CASE WHEN EXISTS (SELECT FROM sg_turn AS t WHERE t.name = p_name)
                                   THEN 'conflict' ELSE 'done' END, 0::bigint;
END
$$;

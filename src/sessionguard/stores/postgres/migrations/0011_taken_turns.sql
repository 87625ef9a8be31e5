-- When a turn was taken: one that was taken in the future, by a clock that was put right since, is void.

ALTER TABLE sg_turn ADD COLUMN taken_us bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION sg_take_turn(p_echo text, p_at bigint, p_name text, p_holder text, p_lease bigint)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  now_us bigint := coalesce(p_at, sg_now());
BEGIN
  INSERT INTO sg_turn AS t (name, holder, until_us, taken_us) VALUES (p_name, p_holder, now_us + p_lease, now_us)
  ON CONFLICT (name) DO UPDATE
     SET holder = p_holder, until_us = coalesce(p_at, sg_now()) + p_lease, taken_us = coalesce(p_at, sg_now())
   WHERE t.holder = p_holder OR t.until_us <= coalesce(p_at, sg_now()) OR t.taken_us > coalesce(p_at, sg_now());
  RETURN QUERY SELECT p_echo, CASE WHEN FOUND THEN 'done' ELSE 'conflict' END, 0::bigint;
END
$$;

CREATE OR REPLACE FUNCTION sg_give_turn(p_echo text, p_at bigint, p_name text, p_holder text)
  RETURNS TABLE (echo text, part text, number bigint) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM sg_turn AS t
   WHERE t.name = p_name AND (t.holder = p_holder OR t.until_us <= coalesce(p_at, sg_now())
                              OR t.taken_us > coalesce(p_at, sg_now()));
  RETURN QUERY SELECT p_echo, CASE WHEN EXISTS (SELECT FROM sg_turn AS t WHERE t.name = p_name)
                                   THEN 'conflict' ELSE 'done' END, 0::bigint;
END
$$;

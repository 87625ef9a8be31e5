-- Questions about what is due that no plan answers by reading the table from end to end. A plan is made once for all
-- values: of `expires_us <= now_us` the planner then expects a third of all sessions, and takes the first it meets in the
-- table for sooner found than the first of an index. When nothing is due, it reads them all.

CREATE OR REPLACE FUNCTION sg_is_due(now_us bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN coalesce((SELECT expires_us FROM sg_session WHERE active ORDER BY expires_us LIMIT 1) <= now_us, false);
END
$$;

-- By an array, so that each is looked up; a join reads all operations that are remembered, and a sweep leaves one a batch.
CREATE OR REPLACE FUNCTION sg_forget_operations(now_us bigint, p_limit bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM sg_operation WHERE id = ANY (ARRAY(
    SELECT id FROM sg_operation WHERE done_us < now_us - 600000000
     ORDER BY done_us LIMIT p_limit FOR UPDATE SKIP LOCKED));
END
$$;

-- Who holds a session, in the session's own row, so that nothing is left of a lease that is over. lease_until_us, which was
-- there before, is when the last of them lapses: the session is not forgotten sooner.
ALTER TABLE sg_session ADD COLUMN leases TEXT NOT NULL DEFAULT '';          -- JSON: [highest fence, {holder: [fence, until]}]
ALTER TABLE sg_session ADD COLUMN lease_floor INTEGER NOT NULL DEFAULT 0;   -- saves under a lease with a lower fence are refused

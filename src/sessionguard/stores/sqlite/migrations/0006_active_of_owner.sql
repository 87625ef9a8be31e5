-- The active sessions of an owner in a scope, to be counted and ended without the history.
CREATE INDEX sg_owner_active ON sg_session (owner, scope) WHERE active = 1;

-- When a turn was taken: one that was taken in the future, by a clock that was put right since, is void.
ALTER TABLE sg_turn ADD COLUMN taken_us INTEGER NOT NULL DEFAULT 0;

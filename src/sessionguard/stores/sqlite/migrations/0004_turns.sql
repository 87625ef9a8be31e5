-- Whose turn it is to do what one runner of a fleet is to do at a time; a turn that was given back leaves no row.

CREATE TABLE sg_turn (
  name     TEXT    NOT NULL PRIMARY KEY,
  holder   TEXT    NOT NULL,
  until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

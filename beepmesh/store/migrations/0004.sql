-- Format 4. Who keeps accounts adds up what came, at first accept: by feed and month, never by person or content.

-- Months count from year 0: 12 * year + month - 1, in UTC. `came` is 0 for what came in time; else the month in which it
-- came, and `month` is what its author's clock said.
CREATE TABLE usage (
    feed        BLOB NOT NULL,
    month       INTEGER NOT NULL,
    came        INTEGER NOT NULL,
    messages    INTEGER NOT NULL,                                  -- of the entries, those sealed to somebody
    entries     INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,                                  -- headers and bodies, as their authors signed them
    byte_hours  INTEGER NOT NULL,                                  -- each times the hours of its lifetime
    PRIMARY KEY (feed, month, came)
) WITHOUT ROWID;

CREATE TABLE relayed (
    device      BLOB NOT NULL,                                     -- to which this one sent
    month       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (device, month)
) WITHOUT ROWID;

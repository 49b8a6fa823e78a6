-- Format 2. Ids, places, times and sizes are in clear; every column called sealed is encrypted under the column key.

-- "beep": `file` and `doctor` tell our store from any other SQLite file.
PRAGMA application_id = 0x62656570;

-- One row: this store itself.
CREATE TABLE this (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    holding_ms INTEGER,         -- policy.HoldingClock; NULL before the first entry came
    seen_ms INTEGER,
    latest_ms INTEGER,
    latest_holding_ms INTEGER
);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    settled BLOB NOT NULL,      -- spans, see spans.py
    tip BLOB NOT NULL,          -- id of the newest settled entry, 32 bytes; empty where it was never held
    frozen INTEGER NOT NULL,    -- 1 once a fork is proven
    changed INTEGER NOT NULL,   -- the number of the commit that changed it last
    entries INTEGER NOT NULL,   -- how many are held; of a log of tokens, how many tokens
    body_bytes INTEGER NOT NULL, -- of the bodies that are still here
    UNIQUE (feed, lane)
);
CREATE INDEX logs_changed ON logs (changed);

-- key = log id * 2^32 + seq: one clustered tree in reading order. WITHOUT ROWID (log, seq) holds a quarter of a page
-- inside the tree and the rest in a page of its own: 4,705 bytes for an entry of 1,600, against 2,079 here.
-- The body stands last, so that reading the header alone touches no overflow page.
CREATE TABLE entries (
    key INTEGER PRIMARY KEY,
    prev BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    hints BLOB NOT NULL,
    body_bytes INTEGER NOT NULL,
    body_hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    expires_ms INTEGER NOT NULL, -- by the holding clock
    rank INTEGER NOT NULL,       -- see policy.py; 0 as soon as the body is erased
    proved INTEGER NOT NULL,     -- 1 if its own signature was checked
    body BLOB                    -- NULL once erased
);
-- For both who is given up and who is erased: there are few ranks.
CREATE INDEX entries_rank ON entries (rank, expires_ms);

-- Delivery tokens (messages/token.py). key = id of the log of tokens * 2^32 + seq; the log of the entries is inside.
CREATE TABLE tokens (
    key INTEGER PRIMARY KEY,
    expires_ms INTEGER NOT NULL, -- by the holding clock
    packed BLOB NOT NULL
);
CREATE INDEX tokens_expiry ON tokens (expires_ms);

-- The own entries of which a token has come, and when, by our clock. A token ends; that it came does not.
CREATE TABLE delivered (
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (feed, lane, seq)
) WITHOUT ROWID;

-- What is kept of peers between meetings (sync/memory.py). A greater number was written later.
CREATE TABLE memories (
    number INTEGER PRIMARY KEY,
    device BLOB NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    told INTEGER NOT NULL,
    base INTEGER NOT NULL,
    known INTEGER NOT NULL,
    digest BLOB NOT NULL,
    views BLOB NOT NULL          -- see spans.py
);
CREATE INDEX memories_base ON memories (base);

-- What a log had settled from change number `since` until just before `until`: kept while it is among the newest
-- changes, or some memory has its base in between.
CREATE TABLE pasts (
    log INTEGER NOT NULL,
    until INTEGER NOT NULL,
    since INTEGER NOT NULL,
    settled BLOB NOT NULL,
    PRIMARY KEY (log, until)
) WITHOUT ROWID;
CREATE INDEX pasts_until ON pasts (until);

CREATE TABLE forks (
    number INTEGER PRIMARY KEY,
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    proof BLOB NOT NULL,         -- CBOR of the two signed headers
    UNIQUE (feed, lane, seq)
);

CREATE TABLE pending (
    number INTEGER PRIMARY KEY,
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    UNIQUE (feed, lane, seq)
);

CREATE TABLE facts (
    number INTEGER PRIMARY KEY,
    feed BLOB NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (feed, seq)
);

CREATE TABLE payloads (
    number INTEGER PRIMARY KEY,
    message_id BLOB NOT NULL,
    feed BLOB,                   -- NULL for own ones
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    sender BLOB NOT NULL,
    sender_person BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    mine INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL, -- by the author's clock
    sealed BLOB NOT NULL
);
CREATE UNIQUE INDEX payloads_own ON payloads (message_id) WHERE mine;
CREATE UNIQUE INDEX payloads_place ON payloads (feed, lane, seq) WHERE NOT mine;
CREATE INDEX payloads_living ON payloads (expires_ms) WHERE mine;

CREATE TABLE outbox (
    message_id BLOB NOT NULL,
    person BLOB NOT NULL,
    PRIMARY KEY (message_id, person)
) WITHOUT ROWID;

CREATE TABLE sealings (
    message_id BLOB NOT NULL,
    person BLOB NOT NULL,
    device BLOB NOT NULL,
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (message_id, person, device, feed, lane, seq)
) WITHOUT ROWID;
CREATE INDEX sealings_place ON sealings (feed, lane, seq);

CREATE TABLE peer_settled (
    device BLOB NOT NULL,
    feed BLOB NOT NULL,
    lane INTEGER NOT NULL,
    settled BLOB NOT NULL,
    PRIMARY KEY (device, feed, lane)
) WITHOUT ROWID;
CREATE INDEX peer_settled_log ON peer_settled (feed, lane);

CREATE TABLE peers (
    device BLOB PRIMARY KEY,
    last_seen_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL         -- transport and address
) WITHOUT ROWID;

CREATE TABLE invitations (
    id BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    burnt_ms INTEGER,
    sealed BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE issued (
    number INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL         -- which person's device has which feed is known nowhere else
);

CREATE TABLE counts (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE blobs (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) WITHOUT ROWID;

-- Views: everything below is made again from payloads and outbox by views.py.

CREATE TABLE messages (
    number INTEGER PRIMARY KEY,  -- that of the first payload which carried it
    message_id BLOB NOT NULL,
    person BLOB NOT NULL,
    payload INTEGER NOT NULL,    -- the number of the payload that gives the row
    received_ms INTEGER NOT NULL,
    mine INTEGER NOT NULL,
    state INTEGER NOT NULL,      -- the highest receipt that we wrote for it
    UNIQUE (message_id, person)
);
CREATE INDEX messages_unread ON messages (state, number) WHERE mine = 0 AND state < 2;

CREATE TABLE receipts (
    message_id BLOB NOT NULL,
    person BLOB NOT NULL,
    state INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    device BLOB NOT NULL,
    PRIMARY KEY (message_id, person, state)
) WITHOUT ROWID;

CREATE TABLE marks (
    message_id BLOB NOT NULL,
    person BLOB NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (message_id, person)
) WITHOUT ROWID;

-- Format 4 on PostgreSQL: the tables of ../0004.sql, with the same columns in the same order.

CREATE TABLE usage (
    feed BYTEA NOT NULL,
    month BIGINT NOT NULL,
    came BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    byte_hours BIGINT NOT NULL,
    PRIMARY KEY (feed, month, came)
);

CREATE TABLE relayed (
    device BYTEA NOT NULL,
    month BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (device, month)
);

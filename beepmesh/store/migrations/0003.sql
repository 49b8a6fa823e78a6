-- Format 3. Headquarters numbers what comes in.

ALTER TABLE this ADD COLUMN intake INTEGER NOT NULL DEFAULT 0;     -- the last number that was given

-- Of the first payload of an incoming message; 0 for others, and for what came before numbers were given.
ALTER TABLE payloads ADD COLUMN intake INTEGER NOT NULL DEFAULT 0;

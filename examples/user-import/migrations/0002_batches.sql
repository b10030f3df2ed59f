-- Schema version 1 to 2: every imported user belongs to a batch, so that a batch can be counted, checked and taken out again.
-- Runs once: a second run fails at the first statement, before anything is changed.

ALTER TABLE users ADD COLUMN country TEXT;

ALTER TABLE users ADD COLUMN batch TEXT REFERENCES import_batches (id);

CREATE TABLE import_batches (
    id            TEXT PRIMARY KEY,
    source        TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    rows_read     INTEGER NOT NULL,
    imported      INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    CHECK (rows_read = imported + rejected)
);

-- Until now only the programs saw to it that no address stands twice.
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE INDEX users_batch ON users (batch);

UPDATE meta SET value = '2' WHERE key = 'schema_version' AND value = '1';

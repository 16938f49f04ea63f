-- Message ids are compared byte by byte, whatever the language of the database: for each INSERT, and
-- for each row that is marked `sent`, the unique index is searched by some twenty comparisons, and
-- the C library takes long to compare by the rules of a language. Nor does the order of bytes
-- change with an upgrade of the C library, after which an index in the order of a language may
-- miss a duplicate until it is built anew (PostgreSQL: "Collation Support", ALTER COLLATION … REFRESH).
-- What is equal stays the same.
--
-- Measured on PostgreSQL 15 with 200,000 sent rows and ids of version 7, marking 30,000 more: 14.7 us of
-- processor time a row, 21.6 by the rules of en_US.UTF-8 of the C library, 17.0 by those of ICU.
--
-- Only for a table that was never written to. Another one would be read, and its index built anew,
-- while nobody can use it (1.3 s for a million rows of 256 bytes); and prepared statements that
-- return a message_id fail from then on ("cached plan must not change result type"), until their
-- sessions end. `outbox-relay doctor` tells of such a table, and what to run in a quiet hour. Until
-- then it works as it did.

-- As in 0006: rather fail, and be run again, than keep others waiting.
SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    IF pg_sequence_last_value(pg_get_serial_sequence('message_log', 'id')::regclass) IS NULL THEN
        ALTER TABLE message_log ALTER COLUMN message_id TYPE text COLLATE "C";
    END IF;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'message_id keeps the collation of the database: %', SQLERRM;
END
$$;

INSERT INTO message_log_migration (version, name) VALUES (11, 'message_id_bytes');

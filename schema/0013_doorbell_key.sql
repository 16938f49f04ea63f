-- The doorbell's lock has a key that need not be computed: 'bell' in ASCII, and the table's oid as it
-- is. PostgreSQL reads a trigger's WHEN from its text and plans it for every statement, and what it
-- took to shift the oid into int4 was more than half of what the doorbell cost an INSERT.
--
-- Measured on PostgreSQL 15 by callgrind, INSERTs of 256 bytes: 930,000 instructions each with the
-- trigger of 0012, of which it took 52,000; now 25,000. (An empty one, WHEN (false), takes 3,400.)
--
-- A relay that is older than this migration sleeps under the key of 0003, which nobody looks at from
-- now on: until it is restarted it hears of new rows at its poll_interval only.
--
-- Where the trigger was dropped or disabled, for relay.wake: poll, it stays so.

-- As in 0006: rather fail, and be run again, than keep others waiting.
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION message_log_ring() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1650814060, TG_RELID::integer) THEN
        PERFORM pg_catalog.pg_notify('message_log_' || TG_RELID, '');
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    enabled text;
BEGIN
    SELECT CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS'
                          WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END INTO enabled
        FROM pg_trigger
        WHERE tgrelid = 'message_log'::regclass AND tgname = 'message_log_doorbell';
    IF enabled IS NULL THEN
        RETURN;
    END IF;
    DROP TRIGGER message_log_doorbell ON message_log;
    CREATE TRIGGER message_log_doorbell AFTER INSERT ON message_log
        FOR EACH STATEMENT
        WHEN (NOT pg_catalog.pg_try_advisory_xact_lock_shared(
            1650814060, 'message_log'::regclass::integer))
        EXECUTE FUNCTION message_log_ring();
    EXECUTE format('ALTER TABLE message_log %s TRIGGER message_log_doorbell', enabled);
END
$$;

INSERT INTO message_log_migration (version, name) VALUES (13, 'doorbell_key');

-- Wakes a sleeping relay. NOTIFY takes a cluster-wide lock at commit, so writers ring only
-- when somebody sleeps: a relay holds the bell's advisory lock exclusively while it sleeps on
-- LISTEN, and only then does the shared lock below fail. While relays work (or poll, with
-- relay.wake: poll) writers share the lock and nobody notifies.
--
-- The lock key is the table's oid, shifted into int4, and 0 for the bell.

CREATE FUNCTION message_log_ring() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(
            (TG_RELID::bigint - 2147483648)::integer, 0) THEN
        PERFORM pg_catalog.pg_notify('message_log_' || TG_RELID, '');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION message_log_ring() IS 'outbox-relay: wakes a relay that sleeps';

CREATE TRIGGER message_log_doorbell AFTER INSERT ON message_log
    FOR EACH STATEMENT EXECUTE FUNCTION message_log_ring();

INSERT INTO message_log_migration (version, name) VALUES (3, 'doorbell');

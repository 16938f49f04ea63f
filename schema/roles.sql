-- Least privilege, as three group roles to grant to login roles. Run it as the owner of the
-- tables, who must be able to create roles (or create the three roles beforehand), after the
-- migrations and again after an upgrade: `outbox-relay migrate --roles`, or psql with the
-- schema first in search_path.
--
--   message_log_writer  an application that lets the relay send: may only insert
--   message_log_sender  an application that sends by itself and marks its rows sent
--   message_log_relay   outbox-relay with relay.on_sent: mark; for delete, grant DELETE on
--                       message_log to it as well

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['message_log_writer', 'message_log_sender', 'message_log_relay']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    END LOOP;
END
$$;

REVOKE ALL ON message_log, message_log_claim, message_log_migration FROM PUBLIC;

GRANT INSERT (message_id, exchange, routing_key, payload, content_type, headers, properties,
              next_retry)
    ON message_log TO message_log_writer, message_log_sender;
-- For INSERT … RETURNING id, message_id.
GRANT SELECT (id, message_id) ON message_log TO message_log_writer;
GRANT SELECT (id, message_id, status, next_retry), UPDATE (status, updated_at)
    ON message_log TO message_log_sender;

GRANT SELECT, UPDATE (status, try_count, next_retry, last_error, updated_at)
    ON message_log TO message_log_relay;
GRANT SELECT, INSERT, UPDATE, DELETE ON message_log_claim TO message_log_relay;
GRANT SELECT ON message_log_migration TO message_log_relay;
GRANT USAGE ON SEQUENCE message_log_relay_id TO message_log_relay;

-- Least privilege, as four group roles to grant to login roles. Run it as the owner of the
-- tables, who must be able to create roles (or create the four roles beforehand), after the
-- migrations and again after an upgrade: `outbox-relay migrate --roles`, or psql with the
-- schema first in search_path.
--
--   message_log_writer  an application that lets the relay send: may only insert
--   message_log_sender  an application that sends by itself and marks its rows sent
--   message_log_relay   outbox-relay with relay.on_sent: mark; for delete and
--                       for retention.sent, grant it DELETE on message_log and
--                       message_log_attempt as well
--   message_log_operator  who runs outbox-relay status, list, show, requeue, purge, replay and
--                       doctor: reads bodies, too. What sessions of other roles do, doctor tells
--                       members of pg_read_all_stats, which only a superuser can grant

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['message_log_writer', 'message_log_sender', 'message_log_relay',
                              'message_log_operator']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles are the whole cluster's: another database was faster
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    END LOOP;
END
$$;

REVOKE ALL ON message_log, message_log_claim, message_log_attempt, message_log_migration
    FROM PUBLIC;

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
GRANT SELECT, INSERT ON message_log_attempt TO message_log_relay;
GRANT SELECT ON message_log_migration TO message_log_relay;
GRANT USAGE ON SEQUENCE message_log_relay_id TO message_log_relay;

-- Requeueing changes failed rows, purging deletes, replaying inserts copies.
GRANT SELECT, DELETE, UPDATE (status, try_count, next_retry, updated_at),
      INSERT (message_id, exchange, routing_key, payload, content_type, headers, properties)
    ON message_log TO message_log_operator;
GRANT SELECT, DELETE ON message_log_attempt TO message_log_operator;
GRANT SELECT ON message_log_claim, message_log_migration TO message_log_operator;

-- Everybody has it unless default privileges were revoked; an INSERT without an id calls it.
GRANT EXECUTE ON FUNCTION message_log_new_id() TO message_log_writer, message_log_sender;

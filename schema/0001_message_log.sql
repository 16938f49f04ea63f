-- The outbox: one row per message, written by the application in the same transaction as its
-- business rows. Unqualified names: they land in the first schema of search_path.
--
-- Apply with `outbox-relay migrate`, or in order with `psql -1 -v ON_ERROR_STOP=1 -f FILE`, or
-- with any migration tool that runs a file in one transaction. Each file records itself in
-- message_log_migration, so that all of these can follow one another.

CREATE TABLE message_log_migration (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE message_log_migration IS 'outbox-relay: which migrations this schema has';

CREATE TABLE message_log (
    id           bigint      GENERATED ALWAYS AS IDENTITY,
    message_id   text        NOT NULL DEFAULT gen_random_uuid()::text,
    exchange     text        NOT NULL,
    routing_key  text        NOT NULL DEFAULT '',
    payload      bytea       NOT NULL,
    content_type text,
    headers      jsonb,
    properties   jsonb,
    status       text        NOT NULL DEFAULT 'sending',
    try_count    integer     NOT NULL DEFAULT 0,
    next_retry   timestamptz NOT NULL DEFAULT now(),
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT message_log_pkey PRIMARY KEY (id),
    CONSTRAINT message_log_message_id_is_unique UNIQUE (message_id),

    CONSTRAINT message_log_status_is_known
        CHECK (status IN ('sending', 'sent', 'failed')),
    CONSTRAINT message_log_try_count_is_not_negative
        CHECK (try_count >= 0),

    -- What can never be published is refused here, where the mistake was made. AMQP 0-9-1
    -- short strings hold 255 bytes (section 4.2.5.3); RabbitMQ takes bodies up to 512 MiB at
    -- the very most; headers and properties must fit one frame, 128 KiB by default, and their
    -- AMQP form is never less than half as long as their JSON.
    CONSTRAINT message_log_message_id_has_1_to_255_bytes
        CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT message_log_exchange_has_at_most_255_bytes
        CHECK (octet_length(exchange) <= 255),
    CONSTRAINT message_log_routing_key_has_at_most_255_bytes
        CHECK (octet_length(routing_key) <= 255),
    CONSTRAINT message_log_content_type_has_at_most_255_bytes
        CHECK (octet_length(content_type) <= 255),
    CONSTRAINT message_log_payload_has_at_most_512_mib
        CHECK (octet_length(payload) <= 536870912),
    CONSTRAINT message_log_headers_is_a_json_object
        CHECK (jsonb_typeof(headers) = 'object'),
    CONSTRAINT message_log_headers_has_at_most_256_kib
        CHECK (octet_length(headers::text) <= 262144),
    CONSTRAINT message_log_properties_is_a_json_object
        CHECK (jsonb_typeof(properties) = 'object'),
    CONSTRAINT message_log_properties_has_at_most_8_kib
        CHECK (octet_length(properties::text) <= 8192),
    CONSTRAINT message_log_properties_has_known_names_only
        CHECK (jsonb_typeof(properties) <> 'object' OR properties - ARRAY[
            'content_encoding', 'delivery_mode', 'priority', 'correlation_id', 'reply_to',
            'expiration', 'timestamp', 'type', 'user_id', 'app_id', 'cluster_id'
        ] = '{}')
);

-- Stored as they are: their size on disk is then their size in memory, which is what bounds
-- a relay's batch without reading them.
ALTER TABLE message_log ALTER COLUMN headers SET STORAGE EXTERNAL;
ALTER TABLE message_log ALTER COLUMN properties SET STORAGE EXTERNAL;

-- The due rows, in the order in which they are sent. It holds unsettled rows only, so it
-- stays small however large the table grows.
CREATE INDEX message_log_due ON message_log (next_retry, id) WHERE status = 'sending';

COMMENT ON TABLE message_log IS 'outbox-relay: messages on their way to the broker';
COMMENT ON COLUMN message_log.message_id IS
    'arrives as AMQP message-id; the same in every duplicate, so consumers can recognise one';
COMMENT ON COLUMN message_log.exchange IS 'AMQP exchange; empty is the default exchange';
COMMENT ON COLUMN message_log.headers IS 'JSON object, becomes the AMQP headers table';
COMMENT ON COLUMN message_log.properties IS
    'JSON object of further AMQP basic properties: priority, expiration, correlation_id, …';
COMMENT ON COLUMN message_log.status IS
    'sending: not confirmed yet; sent: confirmed and routed; failed: given up, see last_error';
COMMENT ON COLUMN message_log.try_count IS
    'attempts charged to this row; an outage of broker or database charges none';
COMMENT ON COLUMN message_log.next_retry IS
    'when a relay may (next) send it; in the future for an application that sends by itself';

INSERT INTO message_log_migration (version, name) VALUES (1, 'message_log');

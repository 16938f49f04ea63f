-- What happened to a row at each attempt, for `outbox-relay show`: kept for rows that did not
-- succeed at once, so the common path costs nothing. Up to a hundred attempts a row; the relay
-- writes them in the statement that settles the row.
--
-- No foreign key: its trigger would cost every row that relay.on_sent: delete removes. The relay,
-- `outbox-relay purge` and retention delete the history with the row; who deletes rows by other
-- means deletes here, too.

CREATE TABLE message_log_attempt (
    log_id     bigint      NOT NULL,
    attempt_id bigint      GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    relay_name text        NOT NULL,
    verdict    text        NOT NULL,
    is_charged boolean     NOT NULL,
    try_count  integer     NOT NULL,
    reason     text,
    latency_ms bigint,

    CONSTRAINT message_log_attempt_pkey PRIMARY KEY (log_id, attempt_id)
);

COMMENT ON TABLE message_log_attempt IS
    'outbox-relay: what happened to rows that were not sent at the first attempt';
COMMENT ON COLUMN message_log_attempt.log_id IS 'message_log.id';
COMMENT ON COLUMN message_log_attempt.at IS 'when the verdict was settled';
COMMENT ON COLUMN message_log_attempt.verdict IS
    'returned, nacked, refused, overdue, invalid, deferred, crashed, and in the end confirmed';
COMMENT ON COLUMN message_log_attempt.try_count IS 'attempts charged, this one included';
COMMENT ON COLUMN message_log_attempt.reason IS 'the broker''s reply code and text, or what else';
COMMENT ON COLUMN message_log_attempt.latency_ms IS
    'from publish to verdict; NULL: it was not published, or a relay died over it';

INSERT INTO message_log_migration (version, name) VALUES (9, 'attempt');

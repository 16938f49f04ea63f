-- Who is sending what right now: one row per batch, not one per message. A relay owns the
-- rows whose ids stand in its claim until it settles (and deletes) the claim, its lease runs
-- out, or its session is gone.

CREATE TABLE message_log_claim (
    claim_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relay_id         integer     NOT NULL,
    relay_name       text        NOT NULL,
    turn             bigint      NOT NULL,
    message_ids      bigint[]    NOT NULL,
    lease_until      timestamptz NOT NULL,
    has_session_lock boolean     NOT NULL,
    is_adopted       boolean     NOT NULL DEFAULT false,
    publishing_id    bigint
);
-- A fresh array of 1,000 ids is compressed for nothing: it lives for milliseconds.
ALTER TABLE message_log_claim ALTER COLUMN message_ids SET STORAGE EXTERNAL;

COMMENT ON TABLE message_log_claim IS 'outbox-relay: batches that relays are sending right now';
COMMENT ON COLUMN message_log_claim.claim_id IS
    'taken under the claim lock, so that ids grow in commit order';
COMMENT ON COLUMN message_log_claim.relay_id IS
    'one per database session of a relay, never used again: an old owner cannot come back';
COMMENT ON COLUMN message_log_claim.turn IS
    'the owner''s own count, by which it finds its claim before it knows claim_id';
COMMENT ON COLUMN message_log_claim.has_session_lock IS
    'the owner holds a session advisory lock on its relay_id: free means dead';
COMMENT ON COLUMN message_log_claim.is_adopted IS
    'taken over from a dead relay: its rows are published one at a time';
COMMENT ON COLUMN message_log_claim.publishing_id IS
    'adopted claims only: the row being published alone, so that a row that kills is found';

CREATE SEQUENCE message_log_relay_id AS integer MINVALUE 1 CYCLE;

INSERT INTO message_log_migration (version, name) VALUES (2, 'claim');

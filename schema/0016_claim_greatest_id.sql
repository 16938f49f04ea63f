-- What a claim's ids do not exceed. Rows come with growing ids, so what is due next is as a rule beyond
-- all that is claimed, and one comparison tells so; without it every claim and every look hashes the
-- ids of all claims.
--
-- Measured on PostgreSQL 15 with 5,000 rows in claims, claiming 1,000 more: 2.1 us of processor time a row
-- instead of 3.5.
--
-- NULL, in claims of older relays, means that it is not known; they are looked through as before.

-- As in 0006: rather fail, and be run again, than keep others waiting.
SET LOCAL lock_timeout = '5s';

ALTER TABLE message_log_claim ADD COLUMN greatest_id bigint;

COMMENT ON COLUMN message_log_claim.greatest_id IS
    'of message_ids; a row with a greater id than that of any claim is in none';

INSERT INTO message_log_migration (version, name) VALUES (16, 'claim_greatest_id');

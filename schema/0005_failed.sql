-- The failed rows, for the operator: counting, listing, sending again or deleting them must not
-- read a table in which millions are `sent`. Only a row that fails costs an entry; those that are
-- sent never touch this index. By id, since that is how they are paged through.
--
-- Building an index keeps writers waiting until it is there, which on a big table takes seconds
-- to minutes. `outbox-relay migrate` builds it beforehand without that. With psql or another tool
-- run this by itself first, outside of a transaction, and see that it succeeds:
--
--   CREATE INDEX CONCURRENTLY message_log_failed ON message_log (id) WHERE status = 'failed';

CREATE INDEX IF NOT EXISTS message_log_failed ON message_log (id) WHERE status = 'failed';

INSERT INTO message_log_migration (version, name) VALUES (5, 'failed');

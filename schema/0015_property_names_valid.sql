-- The look at older rows that 0014 left out. It reads the whole table, while others read and write.

-- As in 0006: rather fail, and be run again, than keep others waiting.
SET LOCAL lock_timeout = '5s';

ALTER TABLE message_log VALIDATE CONSTRAINT message_log_properties_has_known_names_only;

INSERT INTO message_log_migration (version, name) VALUES (15, 'property_names_valid');

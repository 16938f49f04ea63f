-- Sending in one line, from any language:
--
--   SELECT message_log_send('order.exchange', 'order.message', '{"order": 7}'::jsonb);
--   SELECT message_log_send('mail', '', 'hello', headers => '{"tenant": 3}', message_id => 'm-1');
--
-- Returns the message_id. Needs no right but INSERT on message_log. The functions remember the
-- schema they were created in, so callers need not have it in their search_path.

-- What the functions remember shall be this schema and nothing else.
SELECT set_config('search_path', quote_ident(current_schema()), true);

CREATE FUNCTION message_log_send(
    exchange     text,
    routing_key  text,
    payload      bytea,
    headers      jsonb       DEFAULT NULL,
    properties   jsonb       DEFAULT NULL,
    message_id   text        DEFAULT NULL,
    content_type text        DEFAULT NULL,
    next_retry   timestamptz DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
BEGIN
    message_id := coalesce(message_id, gen_random_uuid()::text);
    INSERT INTO message_log
        (message_id, exchange, routing_key, payload, content_type, headers, properties, next_retry)
    VALUES
        (message_id, exchange, routing_key, payload, content_type, headers, properties,
         coalesce(next_retry, now()));
    RETURN message_id;
END
$$;

CREATE FUNCTION message_log_send(
    exchange     text,
    routing_key  text,
    payload      jsonb,
    headers      jsonb       DEFAULT NULL,
    properties   jsonb       DEFAULT NULL,
    message_id   text        DEFAULT NULL,
    content_type text        DEFAULT 'application/json',
    next_retry   timestamptz DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN message_log_send(exchange, routing_key, convert_to(payload::text, 'UTF8'),
                            headers, properties, message_id, content_type, next_retry);
END
$$;

CREATE FUNCTION message_log_send(
    exchange     text,
    routing_key  text,
    payload      text,
    headers      jsonb       DEFAULT NULL,
    properties   jsonb       DEFAULT NULL,
    message_id   text        DEFAULT NULL,
    content_type text        DEFAULT 'text/plain; charset=utf-8',
    next_retry   timestamptz DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN message_log_send(exchange, routing_key, convert_to(payload, 'UTF8'),
                            headers, properties, message_id, content_type, next_retry);
END
$$;

INSERT INTO message_log_migration (version, name) VALUES (4, 'send');

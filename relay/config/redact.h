#ifndef CONFIG_REDACT_H
#define CONFIG_REDACT_H

/*
 * A connection string without its secrets; the caller frees it.
 *
 *   amqp://app:hunter2@mq/orders         amqp://app:***@mq/orders
 *   postgresql://db/shop?password=x      postgresql://db/shop?password=***
 *   host=db user=app password='a b'      host=db user=app password=***
 *
 * Fails safe: what is neither a URL nor libpq's key=value form, or could be read in two
 * ways (an "@" behind the host, a port that is no number), is masked from there on.
 */
char *redact_url(const char *text);

/* For a URL whose path is a secret, too, as that of a webhook: what is behind the host is masked,
   and the host with it where there is a user. */
char *redact_path(const char *text);

/* For a value in the wrong place: masked like a connection string if it could be one. */
char *redact_value(const char *text);

#endif

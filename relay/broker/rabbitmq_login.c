#include "rabbitmq_login.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"

#define FRAME_MAX     131072 /* RabbitMQ's own default; larger frames only cost memory */
#define CHANNEL_MAX   RABBITMQ_PROBE_CHANNEL
#define PASSWORD_MAX  4096
#define PROTOCOL      "AMQP\0\0\11\1"
#define PROTOCOL_SIZE 8

struct login {
	struct frames *frames;
	const struct rabbitmq_config *config;
	const struct rabbitmq_url *url;
	const struct stream_wait *wait;
};

static int call(const struct login *l, uint16_t channel, amqp_method_number_t method,
		void *arguments, amqp_method_number_t reply, void **decoded,
		struct error *err)
{
	struct frames_request request = {
		.channel = channel,
		.request = method,
		.arguments = arguments,
		.reply = reply,
	};

	return frames_call(l->frames, &request, decoded, l->wait, err);
}

static amqp_bytes_t bytes(const char *text)
{
	return amqp_cstring_bytes(text);
}

static const char *find_text(const amqp_table_t *table, const char *name, char *out,
			     size_t size)
{
	for (int i = 0; i < table->num_entries; i++) {
		const amqp_table_entry_t *e = &table->entries[i];

		if (e->value.kind == AMQP_FIELD_KIND_UTF8 && e->key.len == strlen(name) &&
		    memcmp(e->key.bytes, name, e->key.len) == 0) {
			frames_text(out, size, e->value.value.bytes);
			return out;
		}
	}
	return "";
}

static char *describe_peer(const struct login *l, const amqp_connection_start_t *start)
{
	char product[64], version[64];
	const char *vhost = strcmp(l->url->vhost, "/") == 0 ? "" : l->url->vhost;
	const amqp_table_t *table = &start->server_properties;
	const struct tls *tls = l->frames->stream.tls;

	return xasprintf("%s %s at %s:%d/%s%s%s",
			 find_text(table, "product", product, sizeof(product)),
			 find_text(table, "version", version, sizeof(version)),
			 l->url->host, l->url->port, vhost, tls ? " over " : "",
			 tls ? tls_version(tls) : "");
}

/* Is `name` one of the words in `list`? */
static bool is_offered(amqp_bytes_t list, const char *name)
{
	const char *at = list.bytes;
	size_t size = strlen(name);

	for (size_t i = 0; i + size <= list.len; i++) {
		bool starts = i == 0 || at[i - 1] == ' ';
		bool ends = i + size == list.len || at[i + size] == ' ';

		if (starts && ends && memcmp(at + i, name, size) == 0)
			return true;
	}
	return false;
}

/* --- start-ok: who we are --- */

/*
 * What the server may count on. authentication_failure_close makes it tell us that the
 * password is wrong, instead of hanging up without a word; connection.blocked makes it
 * announce alarms.
 */
static amqp_table_t capabilities(amqp_table_entry_t *entries)
{
	static const struct {
		const char *name;
		bool value;
	} all[] = {
		{"publisher_confirms", true},
		{"basic.nack", true},
		{"connection.blocked", true},
		{"authentication_failure_close", true},
		{"exchange_exchange_bindings", true},
		{"consumer_cancel_notify", false},
	};
	int count = sizeof(all) / sizeof(all[0]);

	for (int i = 0; i < count; i++) {
		entries[i].key = bytes(all[i].name);
		entries[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
		entries[i].value.value.boolean = all[i].value;
	}
	return (amqp_table_t){.num_entries = count, .entries = entries};
}

static amqp_table_entry_t text_entry(const char *name, const char *value)
{
	return (amqp_table_entry_t){
		.key = bytes(name),
		.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes(value)},
	};
}

static int put_start_ok(const struct login *l, const char *mechanism,
			amqp_bytes_t response, struct error *err)
{
	amqp_table_entry_t able[8];
	amqp_table_entry_t entries[5];
	struct utsname host;
	char *name;
	int result;
	amqp_connection_start_ok_t ok = {
		.client_properties = {.num_entries = 5, .entries = entries},
		.mechanism = bytes(mechanism),
		.response = response,
		.locale = bytes("en_US"),
	};

	uname(&host);
	name = xasprintf("outbox-relay on %s, pid %ld", host.nodename, (long)getpid());
	entries[0] = text_entry("product", "outbox-relay");
	entries[1] = text_entry("version", VERSION);
	entries[2] = text_entry("platform", "C");
	entries[3] = text_entry("connection_name", name);
	entries[4].key = bytes("capabilities");
	entries[4].value.kind = AMQP_FIELD_KIND_TABLE;
	entries[4].value.value.table = capabilities(able);
	result = frames_put(l->frames, 0, AMQP_CONNECTION_START_OK_METHOD, &ok, err);
	free(name);
	return result;
}

static int put_plain(const struct login *l, struct error *err)
{
	const struct rabbitmq_config *c = l->config;
	const char *user = c->username ? c->username : l->url->user;
	const char *password = c->password.text ? c->password.text : l->url->password;
	size_t user_size = strlen(user), size = strlen(password);
	char response[2 + 255 + PASSWORD_MAX];
	int result;

	if (user_size > 255 || size > PASSWORD_MAX)
		return error_set(err, ERROR_REFUSED, "user or password is too long");
	/* RFC 4616: no authorisation identity, user, password, each behind a NUL. */
	response[0] = '\0';
	memcpy(response + 1, user, user_size + 1);
	memcpy(response + 2 + user_size, password, size);
	result = put_start_ok(l, "PLAIN",
			      (amqp_bytes_t){.len = 2 + user_size + size,
					     .bytes = response},
			      err);
	explicit_bzero(response, sizeof(response));
	return result;
}

/* Without a user, the client certificate says who we are. */
static bool is_external(const struct login *l)
{
	return l->url->is_tls && l->config->tls.cert_file && !l->config->username &&
	       !l->url->has_user;
}

/* --- the steps --- */

static int start(const struct login *l, char **peer, struct error *err)
{
	const amqp_connection_start_t *start;
	const char *mechanism = is_external(l) ? "EXTERNAL" : "PLAIN";
	void *decoded;

	buffer_append(&l->frames->out, PROTOCOL, PROTOCOL_SIZE);
	if (call(l, 0, 0, NULL, AMQP_CONNECTION_START_METHOD, &decoded, err) < 0)
		return -1;
	start = decoded;
	if (!is_offered(start->mechanisms, mechanism))
		return error_set(err, ERROR_REFUSED,
				 "the server does not offer %s logins", mechanism);
	*peer = describe_peer(l, start);
	if (is_external(l))
		return put_start_ok(l, mechanism, bytes(""), err);
	return put_plain(l, err);
}

/* The lower of two limits, where 0 means none. */
static uint32_t lower(uint32_t a, uint32_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

static int tune(const struct login *l, struct error *err)
{
	struct frames *f = l->frames;
	const amqp_connection_tune_t *offer;
	amqp_connection_tune_ok_t ok;
	void *decoded;

	if (call(l, 0, 0, NULL, AMQP_CONNECTION_TUNE_METHOD, &decoded, err) < 0)
		return -1;
	/* All of the output has been answered, so the password is not needed any more. */
	explicit_bzero(f->out.data, f->out.capacity);
	offer = decoded;
	if (offer->frame_max != 0 && offer->frame_max < FRAMES_MIN_SIZE)
		return error_set(err, ERROR_LOST, "the server wants frames of %u bytes",
				 (unsigned int)offer->frame_max);
	ok.channel_max = (uint16_t)lower(offer->channel_max, CHANNEL_MAX);
	ok.frame_max = lower(offer->frame_max, FRAME_MAX);
	ok.heartbeat = (uint16_t)lower(offer->heartbeat,
				       (uint32_t)(l->config->heartbeat_ms + 999) / 1000);
	if (frames_put(f, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok, err) < 0)
		return -1;
	f->frame_max = ok.frame_max;
	f->heartbeat_ms = (int64_t)ok.heartbeat * 1000;
	f->beat_ms = clock_ms() + f->heartbeat_ms / 4;
	return 0;
}

static int open_vhost(const struct login *l, struct error *err)
{
	amqp_connection_open_t open = {.virtual_host = bytes(l->url->vhost)};
	void *ignored;

	return call(l, 0, AMQP_CONNECTION_OPEN_METHOD, &open,
		    AMQP_CONNECTION_OPEN_OK_METHOD, &ignored, err);
}

static int open_channel(const struct login *l, struct error *err)
{
	amqp_channel_open_t open = {0};
	amqp_confirm_select_t confirm = {0};
	void *ignored;

	if (call(l, RABBITMQ_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open,
		 AMQP_CHANNEL_OPEN_OK_METHOD, &ignored, err) < 0)
		return -1;
	return call(l, RABBITMQ_CHANNEL, AMQP_CONFIRM_SELECT_METHOD, &confirm,
		    AMQP_CONFIRM_SELECT_OK_METHOD, &ignored, err);
}

int rabbitmq_login(struct frames *f, const struct rabbitmq_config *config,
		   const struct rabbitmq_url *url, const struct stream_wait *wait,
		   char **peer, struct error *err)
{
	const struct login l = {.frames = f, .config = config, .url = url, .wait = wait};
	const struct stream_target target = {
		.host = url->host,
		.port = url->port,
		.tls = url->is_tls ? &config->tls : NULL,
	};
	char *name = NULL;

	if (stream_connect(&f->stream, &target, wait, err) < 0)
		return -1;
	if (start(&l, &name, err) < 0 || tune(&l, err) < 0 || open_vhost(&l, err) < 0 ||
	    open_channel(&l, err) < 0) {
		free(name);
		return error_wrap(err, "login");
	}
	*peer = name;
	return 0;
}

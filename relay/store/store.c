#include "store_private.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "store/session.h"
#include "store/settle.h"
#include "store/sql.h"

/* --- life --- */

struct store *store_new(const struct store_settings *settings)
{
	struct store *s = xcalloc(1, sizeof(*s));
	char *application_name = xasprintf("outbox-relay %s", settings->relay_name);

	s->settings = *settings;
	s->fetch_bytes = settings->max_message_bytes;
	look_back_init(&s->look_back);
	s->search_path = session_search_path(settings->schema);
	for (int form = 0; form < SETTLE_FORMS; form++) {
		for (int tells = 0; tells < 2; tells++)
			s->settle_sql[form][tells] =
				settle_text((enum settle_form)form,
					    settings->deletes_sent, tells);
	}
	s->pg = pg_new(
		&(struct pg_settings){.url = settings->url,
				      .keeps_plans = !settings->transaction_pooling,
				      .password = settings->password,
				      .tls = settings->tls,
				      .application_name = application_name});
	free(application_name);
	return s;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	store_close(s);
	pg_free(s->pg);
	pg_params_release(&s->params);
	for (int form = 0; form < SETTLE_FORMS; form++) {
		free(s->settle_sql[form][0]);
		free(s->settle_sql[form][1]);
	}
	free(s->search_path);
	free(s->renewed);
	free(s);
}

void store_close(struct store *s)
{
	pg_close(s->pg);
	store_turn_abandon(s);
	s->has_bell = false;
	s->ended_ms = clock_ms();
}

int64_t store_ended_ms(const struct store *s)
{
	return s->ended_ms;
}

bool store_is_open(const struct store *s)
{
	return pg_is_open(s->pg);
}

int store_fd(const struct store *s)
{
	return pg_fd(s->pg);
}

short store_events(const struct store *s)
{
	return pg_events(s->pg);
}

int64_t store_deadline_ms(const struct store *s)
{
	return pg_deadline_ms(s->pg);
}

const char *store_peer(const struct store *s)
{
	return pg_peer(s->pg);
}

bool store_has_bell(const struct store *s)
{
	return s->has_bell;
}

int store_listen(struct store *s, struct error *err)
{
	return pg_notified(s->pg, err);
}

/* --- statements --- */

bool store_has_session(const struct store *s)
{
	return !s->settings.transaction_pooling;
}

void store_add_settings(struct store *s)
{
	const struct session_settings settings = {
		.search_path = s->search_path,
		.statement_timeout_ms = s->settings.statement_timeout_ms,
		.lock_timeout_ms = s->settings.lock_timeout_ms,
		.for_transaction = !store_has_session(s),
		.plans_once = store_has_session(s),
	};

	session_params(&s->params, &settings);
	pg_add(s->pg, SQL_SETTINGS, &s->params);
}

void store_add_begin(struct store *s)
{
	pg_add(s->pg, SQL_BEGIN, NULL);
	if (!store_has_session(s))
		store_add_settings(s);
}

void store_add_commit(struct store *s)
{
	pg_add(s->pg, SQL_COMMIT, NULL);
	pg_sync(s->pg);
}

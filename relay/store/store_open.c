#include "store_private.h"

#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "store/migrate.h"
#include "store/sql.h"

static int check_version(struct store *s, const struct pg_result *r, struct error *err)
{
	int64_t found = pg_int(r, 0, 0);

	if (found >= migrate_newest())
		return 0; /* a newer schema serves older relays, for rolling upgrades */
	return error_set(err, ERROR_REFUSED,
			 "schema %s is at version %lld, this relay needs %d: run "
			 "`outbox-relay migrate`",
			 s->settings.schema, (long long)found, migrate_newest());
}

static int greet(struct store *s, int64_t deadline_ms, struct error *err)
{
	int version, registered;

	pg_begin(s->pg);
	if (store_has_session(s)) {
		pg_add(s->pg, SQL_ISOLATION, NULL);
		pg_sync(s->pg);
		store_add_settings(s);
		pg_sync(s->pg);
	}
	store_add_begin(s);
	version = pg_add(s->pg, SQL_VERSION, NULL);
	registered = pg_add(s->pg, SQL_REGISTER, NULL);
	store_add_commit(s);
	if (pg_run(s->pg, clock_wait_ms(deadline_ms, clock_ms()), err) < 0) {
		if (strcmp(pg_sqlstate(s->pg), "42P01") == 0)
			return error_wrap(err, "schema %s (run `outbox-relay migrate`)",
					  s->settings.schema);
		return -1;
	}
	if (check_version(s, pg_result(s->pg, version), err) < 0)
		return -1;
	s->relay_id = (int32_t)pg_int(pg_result(s->pg, registered), 0, 0);
	s->lock_key = (int32_t)pg_int(pg_result(s->pg, registered), 0, 1);
	return 0;
}

/* LISTEN takes no parameters, and a text that is freed cannot be kept prepared. The channel is the
   one that message_log_ring() notifies. */
static void add_listen(struct store *s)
{
	char *sql = xasprintf("LISTEN message_log_%lld",
			      (long long)s->lock_key + 2147483648LL);

	pg_add_planned_anew(s->pg, sql, NULL);
	free(sql);
}

static bool contains(const struct pg_result *r, int64_t claim_id)
{
	for (int i = 0; i < pg_rows(r); i++) {
		if (pg_int(r, i, 0) == claim_id)
			return true;
	}
	return false;
}

static void remember_id(struct store *s)
{
	if (s->former_count == FORMER_IDS_MAX) {
		s->former_count--;
		memmove(s->former_ids, s->former_ids + 1,
			sizeof(s->former_ids) - sizeof(s->former_ids[0]));
	}
	s->former_ids[s->former_count++] = s->relay_id;
}

static void add_former_ids(struct store *s, struct batch *const *batches, int count)
{
	struct pg_params *p = &s->params;

	pg_params_int8_array(p, (size_t)s->former_count);
	for (int i = 0; i < s->former_count; i++)
		pg_params_element_int8(p, s->former_ids[i]);
	pg_params_array_end(p);
	pg_params_int8_array(p, (size_t)count);
	for (int i = 0; i < count; i++)
		pg_params_element_int8(p, batches[i]->claim_id);
	pg_params_array_end(p);
}

/* Of a batch: the rows whose fate is known here. */
static int add_claim_anew(struct store *s, const struct batch *b)
{
	struct pg_params *p = &s->params;

	store_add_owner(s);
	pg_params_int8_array(p, (size_t)b->in_state[ROW_DECIDED]);
	for (int i = 0; i < b->count; i++) {
		if (b->rows[i].state == ROW_DECIDED)
			pg_params_element_int8(p, b->rows[i].id);
	}
	pg_params_array_end(p);
	return pg_add(s->pg, SQL_CLAIM_ANEW, p);
}

/* Only what is lost and was not settled costs a further round trip. */
static int claim_anew(struct store *s, struct batch *const *batches, int count,
		      enum store_claim *claims, int64_t deadline_ms, struct error *err)
{
	int which[STORE_SETTLE_MAX], at[STORE_SETTLE_MAX], lost = 0;

	for (int i = 0; i < count; i++) {
		if (claims[i] == STORE_CLAIM_LOST && batches[i]->in_state[ROW_DECIDED])
			which[lost++] = i;
	}
	if (!lost)
		return 0;
	pg_begin(s->pg);
	store_add_begin(s);
	store_add_claim_lock(s, false);
	for (int i = 0; i < lost; i++)
		at[i] = add_claim_anew(s, batches[which[i]]);
	store_add_commit(s);
	if (pg_run(s->pg, clock_wait_ms(deadline_ms, clock_ms()), err) < 0)
		return -1;
	for (int i = 0; i < lost; i++) {
		const struct pg_result *r = pg_result(s->pg, at[i]);

		if (!pg_rows(r))
			continue;
		claims[which[i]] = STORE_CLAIM_ANEW;
		batches[which[i]]->claim_id = pg_int(r, 0, 0);
	}
	return 0;
}

static int take_over(struct store *s, struct batch *const *batches, int count,
		     enum store_claim *claims, int64_t deadline_ms, struct error *err)
{
	struct pg_params *p = &s->params;
	int64_t began_ms = clock_ms();
	int retaken;

	pg_begin(s->pg);
	if (store_has_session(s)) {
		pg_params_clear(p);
		pg_params_int4(p, s->lock_key);
		pg_params_int4(p, s->relay_id);
		pg_add(s->pg, SQL_LOCK_SELF, p);
		if (s->settings.wants_bell)
			add_listen(s);
		pg_sync(s->pg);
	}
	store_add_begin(s);
	pg_params_clear(p);
	add_former_ids(s, batches, count);
	pg_add(s->pg, SQL_DROP_UNKNOWN, p);
	pg_params_clear(p);
	add_former_ids(s, batches, count);
	pg_params_int4(p, s->relay_id);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, store_has_session(s));
	retaken = pg_add(s->pg, SQL_RETAKE, p);
	FAILPOINT_AFTER(pg_start(s->pg, 0), take_over_uncommitted);
	store_add_commit(s);
	FAILPOINT_AFTER(pg_start(s->pg, 0), take_over_sent);
	remember_id(s);
	if (pg_run(s->pg, clock_wait_ms(deadline_ms, clock_ms()), err) < 0)
		return -1;
	s->former_count = 0;
	remember_id(s);
	for (int i = 0; i < count; i++) {
		bool is_kept = contains(pg_result(s->pg, retaken), batches[i]->claim_id);

		claims[i] = is_kept ? STORE_CLAIM_KEPT : STORE_CLAIM_LOST;
		batches[i]->lease_deadline_ms = began_ms + s->settings.lease_ms;
	}
	return claim_anew(s, batches, count, claims, deadline_ms, err);
}

int store_open(struct store *s, struct batch *const *batches, int count,
	       enum store_claim *claims, int timeout_ms, int stop_fd, struct error *err)
{
	int64_t deadline_ms;

	if (timeout_ms > s->settings.connect_timeout_ms)
		timeout_ms = s->settings.connect_timeout_ms;
	deadline_ms = clock_ms() + timeout_ms;
	if (pg_open(s->pg, timeout_ms, stop_fd, err) < 0)
		return -1;
	if (greet(s, deadline_ms, err) < 0 ||
	    take_over(s, batches, count, claims, deadline_ms, err) < 0) {
		int64_t ended_ms = s->ended_ms;

		store_close(s);
		/* Somebody has to mend something first: no haste. */
		if (err->kind == ERROR_REFUSED)
			s->ended_ms = ended_ms;
		return -1;
	}
	s->due_from = DUE_BEGINNING;
	s->claims_from = INT64_MIN;
	return 0;
}

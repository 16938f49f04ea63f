#include "overview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/operate_sql.h"

/* --- counts --- */

/* Counted as far as it went; `estimate` for the rest. One that is less than what was counted is
   from another time, and tells nothing. */
static struct overview_count judge(int64_t counted, int64_t estimate)
{
	if (counted <= OVERVIEW_EXACT)
		return (struct overview_count){.rows = counted};
	if (estimate < counted)
		return (struct overview_count){.rows = OVERVIEW_EXACT,
					       .is_unknown = true};
	return (struct overview_count){.rows = estimate, .is_estimate = true};
}

static int64_t minus(int64_t a, const struct overview_count *b)
{
	if (a < 0 || b->is_unknown)
		return -1;
	return a > b->rows ? a - b->rows : 0;
}

void overview_tally(struct overview *out, const struct overview_tally *t)
{
	int64_t rest;

	out->failed = judge(t->failed, t->failed_index);
	out->scheduled = judge(t->scheduled, t->due_index);
	/* Both are in one index: what is not the one is the other. */
	out->due = judge(t->due, minus(t->due_index, &out->scheduled));
	if (t->all <= OVERVIEW_EXACT) {
		out->sent = (struct overview_count){.rows = t->all - t->due -
							    t->scheduled - t->failed};
		return;
	}
	rest = minus(minus(minus(t->table, &out->due), &out->scheduled), &out->failed);
	/* What was counted is there; which of it was sent is not known where others are many. */
	if (rest < 0)
		out->sent = (struct overview_count){.rows = t->all - t->due -
							    t->scheduled - t->failed,
						    .is_unknown = true};
	else
		out->sent = (struct overview_count){.rows = rest, .is_estimate = true};
	if (out->sent.rows < 0)
		out->sent.rows = 0;
}

static int64_t past(const struct pg_result *r, int column)
{
	int64_t ms = pg_is_null(r, 0, column) ? 1 : -pg_int(r, 0, column);

	return pg_is_null(r, 0, column) || ms < 0 ? -1 : ms;
}

static void read_text(const struct pg_result *r, int row, int column, char *out,
		      size_t size)
{
	struct slice s = pg_slice(r, row, column);

	snprintf(out, size, "%.*s", (int)s.size, s.size ? s.data : "");
}

static void read_counts(struct overview *out, const struct pg_result *counts,
			const struct pg_result *estimates)
{
	overview_tally(out, &(struct overview_tally){
				    .due = pg_int(counts, 0, 0),
				    .scheduled = pg_int(counts, 0, 1),
				    .failed = pg_int(counts, 0, 2),
				    .all = pg_int(counts, 0, 3),
				    .table = pg_int(estimates, 0, 0),
				    .due_index = pg_int(estimates, 0, 1),
				    .failed_index = pg_int(estimates, 0, 2),
			    });
	out->oldest_due_ms = past(counts, 4);
	out->next_due_ms = pg_is_null(counts, 0, 5) ? -1 : pg_int(counts, 0, 5);
	out->last_failed_ms = past(counts, 6);
	read_text(counts, 0, 7, out->at, sizeof(out->at));
	out->table_bytes = pg_int(estimates, 0, 3);
	out->index_bytes = pg_int(estimates, 0, 4);
}

/* --- who is at work --- */

static void read_relays(struct overview *out, const struct pg_result *r)
{
	out->relay_count = pg_rows(r);
	out->relays = xcalloc((size_t)out->relay_count + 1, sizeof(*out->relays));
	for (int i = 0; i < out->relay_count; i++) {
		struct overview_relay *relay = &out->relays[i];

		relay->relay_id = pg_int(r, i, 0);
		read_text(r, i, 1, relay->name, sizeof(relay->name));
		relay->is_connected = pg_bool(r, i, 2);
		relay->pid = pg_int(r, i, 3);
		relay->connected_ms = pg_int(r, i, 4);
		read_text(r, i, 5, relay->host, sizeof(relay->host));
		relay->claims = pg_int(r, i, 6);
		relay->rows = pg_int(r, i, 7);
	}
}

static void read_claims(struct overview *out, const struct pg_result *r)
{
	out->claim_count = pg_rows(r);
	out->claims = xcalloc((size_t)out->claim_count + 1, sizeof(*out->claims));
	for (int i = 0; i < out->claim_count; i++) {
		struct overview_claim *claim = &out->claims[i];

		claim->claim_id = pg_int(r, i, 0);
		claim->relay_id = pg_int(r, i, 1);
		read_text(r, i, 2, claim->relay_name, sizeof(claim->relay_name));
		claim->rows = pg_int(r, i, 3);
		claim->lease_ms = pg_int(r, i, 4);
		claim->is_adopted = pg_bool(r, i, 5);
		claim->publishing_id = pg_int(r, i, 6);
		claim->is_dead = pg_bool(r, i, 7);
	}
}

static struct overview_flow read_flow(const struct pg_result *r, int row)
{
	return (struct overview_flow){.rows = pg_int(r, row, 0),
				      .over_ms = pg_is_null(r, row, 1)
							 ? 0
							 : pg_int(r, row, 1)};
}

int overview_read(struct operate *o, struct overview *out, struct error *err)
{
	int counts, estimates, flow, relays, claims;

	*out = (struct overview){.oldest_due_ms = -1};
	operate_begin(o);
	counts = operate_add(o, OPERATE_COUNTS);
	estimates = operate_add(o, OPERATE_ESTIMATES);
	flow = operate_add(o, OPERATE_FLOW);
	relays = operate_add(o, OPERATE_RELAYS);
	claims = operate_add(o, OPERATE_CLAIMS);
	if (operate_run(o, err) < 0)
		return -1;
	read_counts(out, operate_result(o, counts), operate_result(o, estimates));
	out->came = read_flow(operate_result(o, flow), 0);
	out->sent_lately = read_flow(operate_result(o, flow), 1);
	read_relays(out, operate_result(o, relays));
	read_claims(out, operate_result(o, claims));
	return 0;
}

void overview_release(struct overview *v)
{
	free(v->relays);
	free(v->claims);
	v->relays = NULL;
	v->claims = NULL;
}

double overview_rate(const struct overview_flow *f)
{
	return (double)f->rows * 1000 / (double)(f->over_ms > 0 ? f->over_ms : 1);
}

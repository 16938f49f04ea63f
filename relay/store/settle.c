#include "settle.h"

#include "base/buffer.h"
#include "store/sql.h"

static void tell(struct buffer *b, int n, bool deletes_sent, bool is_careful)
{
	buffer_printf(b, SQL_SETTLE_TOLD, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6,
		      n + 7);
	buffer_printf(b, SQL_SETTLE_REFUSED,
		      is_careful ? " AND m.id IN (SELECT id FROM free)" : "");
	buffer_printf(b, SQL_SETTLE_HISTORY,
		      deletes_sent ? "" : SQL_SETTLE_HISTORY_OF_SENT);
	if (deletes_sent)
		buffer_printf(b, SQL_SETTLE_FORGET);
}

char *settle_text(enum settle_form form, bool deletes_sent, bool tells)
{
	static const struct {
		const char *claim, *ids, *answer;
		int first_told; /* number of the parameter */
	} forms[] = {
		[SETTLE_SENT] = {SQL_SETTLE_SENT, SQL_SETTLE_SENT_IDS,
				 SQL_SETTLE_ANSWER_SENT, 0},
		[SETTLE_CLOSE] = {SQL_SETTLE_CLOSE, "$3", SQL_SETTLE_ANSWER, 4},
		[SETTLE_KEEP] = {SQL_SETTLE_KEEP, "$3", SQL_SETTLE_ANSWER, 5},
		[SETTLE_CAREFUL] = {SQL_SETTLE_KEEP SQL_SETTLE_FREE, "$3",
				    SQL_SETTLE_ANSWER_CAREFUL, 6},
	};
	bool is_careful = form == SETTLE_CAREFUL;
	struct buffer b = {0};
	char *text;

	if (tells ? form == SETTLE_SENT : form == SETTLE_CLOSE)
		return NULL;
	buffer_printf(&b, "%s", forms[form].claim);
	buffer_printf(&b, deletes_sent ? SQL_SETTLE_DELETE : SQL_SETTLE_MARK,
		      forms[form].ids,
		      is_careful ? " AND id IN (SELECT id FROM free)" : "",
		      tells ? SQL_SETTLE_RETURNING : "");
	if (tells)
		tell(&b, forms[form].first_told, deletes_sent, is_careful);
	buffer_printf(&b, "%s", forms[form].answer);
	text = xstrdup(buffer_text(&b));
	buffer_release(&b);
	return text;
}

enum { SENT = 1, REFUSED = 2, TOLD = 4 };

static bool is_among(const struct row *r, int which)
{
	bool is_sent = r->decision.fate == FATE_SENT;
	int what = is_sent ? SENT : REFUSED;

	if (!is_sent || r->has_history)
		what |= TOLD;
	return r->state == ROW_DECIDED && which & what;
}

/* The next row at or after `i`, or NULL. */
static const struct row *next(const struct batch *b, int which, int *i)
{
	while (*i < b->count) {
		const struct row *r = &b->rows[(*i)++];

		if (is_among(r, which))
			return r;
	}
	return NULL;
}

static size_t count(const struct batch *b, int which)
{
	size_t rows = 0;

	for (int i = 0; next(b, which, &i);)
		rows++;
	return rows;
}

static int64_t id_of(const struct row *r)
{
	return r->id;
}

static int64_t charge_of(const struct row *r)
{
	return r->decision.charge;
}

static int64_t delay_of(const struct row *r)
{
	return r->decision.delay_ms;
}

static int64_t try_count_of(const struct row *r)
{
	return r->try_count;
}

static int64_t latency_of(const struct row *r)
{
	return r->latency_ms;
}

static const char *fate_of(const struct row *r)
{
	static const char *const names[] = {
		[FATE_SENT] = "sent", [FATE_RETRY] = "sending", [FATE_FAILED] = "failed"};

	return names[r->decision.fate];
}

static const char *reason_of(const struct row *r)
{
	return r->reason ? r->reason : "";
}

static const char *verdict_of(const struct row *r)
{
	return verdict_name(r->verdict);
}

static void add_elements(struct pg_params *p, const struct batch *b, int which,
			 int64_t (*number)(const struct row *r))
{
	const struct row *r;

	for (int i = 0; (r = next(b, which, &i));)
		pg_params_element_int8(p, number(r));
}

static void add_numbers(struct pg_params *p, const struct batch *b, int which,
			int64_t (*number)(const struct row *r))
{
	pg_params_int8_array(p, count(b, which));
	add_elements(p, b, which, number);
	pg_params_array_end(p);
}

static void add_texts(struct pg_params *p, const struct batch *b, int which,
		      const char *(*text)(const struct row *r))
{
	const struct row *r;

	pg_params_text_array(p, count(b, which));
	for (int i = 0; (r = next(b, which, &i));)
		pg_params_element_text(p, text(r));
	pg_params_array_end(p);
}

/* The columns of `told`. */
static void add_told(struct pg_params *p, const struct batch *b)
{
	add_numbers(p, b, TOLD, id_of);
	add_texts(p, b, TOLD, fate_of);
	add_numbers(p, b, TOLD, charge_of);
	add_numbers(p, b, TOLD, delay_of);
	add_texts(p, b, TOLD, reason_of);
	add_numbers(p, b, TOLD, try_count_of);
	add_texts(p, b, TOLD, verdict_of);
	add_numbers(p, b, TOLD, latency_of);
}

bool settle_tells(const struct batch *b)
{
	int i = 0;

	return next(b, TOLD, &i) != NULL;
}

static void add_claims(struct pg_params *p, struct batch *const *batches, int n)
{
	pg_params_int8_array(p, (size_t)n);
	for (int i = 0; i < n; i++)
		pg_params_element_int8(p, batches[i]->claim_id);
	pg_params_array_end(p);
}

void settle_params_sent(struct pg_params *p, struct batch *const *batches, int n,
			int32_t relay_id)
{
	size_t rows = 0;

	pg_params_clear(p);
	add_claims(p, batches, n);
	pg_params_int4(p, relay_id);
	for (int i = 0; i < n; i++)
		rows += count(batches[i], SENT);
	pg_params_int8_array(p, rows);
	for (int i = 0; i < n; i++)
		add_elements(p, batches[i], SENT, id_of);
	pg_params_array_end(p);
	pg_params_int8_array(p, rows);
	for (int i = 0; i < n; i++) {
		for (int k = 0; next(batches[i], SENT, &k);)
			pg_params_element_int8(p, batches[i]->claim_id);
	}
	pg_params_array_end(p);
}

void settle_params(struct pg_params *p, const struct batch *b, int32_t relay_id,
		   enum settle_form form, int64_t publishing_id)
{
	pg_params_clear(p);
	pg_params_int8(p, b->claim_id);
	pg_params_int4(p, relay_id);
	add_numbers(p, b, SENT, id_of);
	if (form != SETTLE_CLOSE && publishing_id)
		pg_params_int8(p, publishing_id);
	else if (form != SETTLE_CLOSE)
		pg_params_int8_null(p);
	if (form == SETTLE_CAREFUL)
		add_numbers(p, b, SENT | REFUSED, id_of);
	if (settle_tells(b))
		add_told(p, b);
}

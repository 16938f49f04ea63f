#include "settle.h"

#include "base/buffer.h"
#include "store/sql.h"

char *settle_text(enum settle_form form, bool deletes_sent, bool has_refused)
{
	static const char *const claims[] = {SQL_SETTLE_CLOSE, SQL_SETTLE_KEEP,
					     SQL_SETTLE_KEEP SQL_SETTLE_FREE};
	static const int first_refused[] = {4, 5, 6};
	bool is_careful = form == SETTLE_CAREFUL;
	int n = first_refused[form];
	struct buffer b = {0};
	char *text;

	buffer_printf(&b, "%s", claims[form]);
	buffer_printf(&b, deletes_sent ? SQL_SETTLE_DELETE : SQL_SETTLE_MARK,
		      is_careful ? " AND id IN (SELECT id FROM free)" : "");
	if (has_refused)
		buffer_printf(&b, SQL_SETTLE_REFUSED,
			      is_careful ? " AND m.id IN (SELECT id FROM free)" : "", n,
			      n + 1, n + 2, n + 3, n + 4, n + 5);
	buffer_printf(&b, "%s",
		      is_careful ? SQL_SETTLE_ANSWER_CAREFUL : SQL_SETTLE_ANSWER);
	text = xstrdup(buffer_text(&b));
	buffer_release(&b);
	return text;
}

enum { IDS_SENT = 1, IDS_REFUSED = 2 };

static bool is_among(const struct row *r, int which)
{
	return r->state == ROW_DECIDED &&
	       which & (r->decision.fate == FATE_SENT ? IDS_SENT : IDS_REFUSED);
}

static void add_ids(struct pg_params *p, const struct batch *b, int which)
{
	size_t count = 0;

	for (int i = 0; i < b->count; i++)
		count += is_among(&b->rows[i], which);
	pg_params_int8_array(p, count);
	for (int i = 0; i < b->count; i++) {
		if (is_among(&b->rows[i], which))
			pg_params_element_int8(p, b->rows[i].id);
	}
	pg_params_array_end(p);
}

/* The next row at or after `i` that was decided otherwise than sent, or NULL. */
static const struct row *next_refused(const struct batch *b, int *i)
{
	for (; *i < b->count; (*i)++) {
		const struct row *r = &b->rows[*i];

		if (is_among(r, IDS_REFUSED)) {
			(*i)++;
			return r;
		}
	}
	return NULL;
}

static size_t count_refused(const struct batch *b)
{
	size_t count = 0;
	int i = 0;

	while (next_refused(b, &i))
		count++;
	return count;
}

static void add_refused(struct pg_params *p, const struct batch *b, size_t count)
{
	const struct row *r;

	add_ids(p, b, IDS_REFUSED);
	pg_params_text_array(p, count);
	for (int i = 0; (r = next_refused(b, &i));)
		pg_params_element_text(p, r->decision.fate == FATE_FAILED ? "failed"
									  : "sending");
	pg_params_array_end(p);
	pg_params_int8_array(p, count);
	for (int i = 0; (r = next_refused(b, &i));)
		pg_params_element_int8(p, r->decision.charge);
	pg_params_array_end(p);
	pg_params_int8_array(p, count);
	for (int i = 0; (r = next_refused(b, &i));)
		pg_params_element_int8(p, r->decision.delay_ms);
	pg_params_array_end(p);
	pg_params_text_array(p, count);
	for (int i = 0; (r = next_refused(b, &i));)
		pg_params_element_text(p, r->reason ? r->reason : "");
	pg_params_array_end(p);
	pg_params_int8_array(p, count);
	for (int i = 0; (r = next_refused(b, &i));)
		pg_params_element_int8(p, r->try_count);
	pg_params_array_end(p);
}

bool settle_params(struct pg_params *p, const struct batch *b, int32_t relay_id,
		   enum settle_form form, int64_t publishing_id)
{
	size_t refused = count_refused(b);

	pg_params_clear(p);
	pg_params_int8(p, b->claim_id);
	pg_params_int4(p, relay_id);
	add_ids(p, b, IDS_SENT);
	if (form != SETTLE_CLOSE && publishing_id)
		pg_params_int8(p, publishing_id);
	else if (form != SETTLE_CLOSE)
		pg_params_int8_null(p);
	if (form == SETTLE_CAREFUL)
		add_ids(p, b, IDS_SENT | IDS_REFUSED);
	if (refused)
		add_refused(p, b, refused);
	return refused > 0;
}

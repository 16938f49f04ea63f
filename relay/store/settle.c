#include "settle.h"

#include "base/buffer.h"
#include "store/sql.h"

char *settle_text(bool keeps_claim, bool deletes_sent, bool has_refused)
{
	struct buffer b = {0};
	int first = keeps_claim ? 5 : 4;
	char *text;

	buffer_printf(&b, "%s%s", keeps_claim ? SQL_SETTLE_KEEP : SQL_SETTLE_CLOSE,
		      deletes_sent ? SQL_SETTLE_DELETE : SQL_SETTLE_MARK);
	if (has_refused)
		buffer_printf(&b, SQL_SETTLE_REFUSED, first, first + 1, first + 2,
			      first + 3, first + 4);
	buffer_printf(&b, "%s", SQL_SETTLE_COUNTS);
	text = xstrdup(buffer_text(&b));
	buffer_release(&b);
	return text;
}

static void add_ids(struct pg_params *p, const struct batch *b, bool sent)
{
	size_t count = 0;

	for (int i = 0; i < b->count; i++) {
		const struct row *r = &b->rows[i];

		count += r->state == ROW_DECIDED &&
			 (r->decision.fate == FATE_SENT) == sent;
	}
	pg_params_int8_array(p, count);
	for (int i = 0; i < b->count; i++) {
		const struct row *r = &b->rows[i];

		if (r->state == ROW_DECIDED && (r->decision.fate == FATE_SENT) == sent)
			pg_params_element_int8(p, r->id);
	}
	pg_params_array_end(p);
}

/* The next row at or after `i` that was decided otherwise than sent, or NULL. */
static const struct row *next_refused(const struct batch *b, int *i)
{
	for (; *i < b->count; (*i)++) {
		const struct row *r = &b->rows[*i];

		if (r->state == ROW_DECIDED && r->decision.fate != FATE_SENT) {
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

	add_ids(p, b, false);
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
}

bool settle_params(struct pg_params *p, const struct batch *b, int32_t relay_id,
		   bool keeps_claim, int64_t publishing_id)
{
	size_t refused = count_refused(b);

	pg_params_clear(p);
	pg_params_int8(p, b->claim_id);
	pg_params_int4(p, relay_id);
	add_ids(p, b, true);
	if (keeps_claim && publishing_id)
		pg_params_int8(p, publishing_id);
	else if (keeps_claim)
		pg_params_int8_null(p);
	if (refused)
		add_refused(p, b, refused);
	return refused > 0;
}

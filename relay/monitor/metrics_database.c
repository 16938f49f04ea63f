#include "metrics_database.h"

#include "monitor/exposition.h"

#define PREFIX "outbox_relay_"

static void write_rows(struct buffer *out, const struct figures *f)
{
	const struct {
		const char *state;
		const struct overview_count *count;
	} states[] = {{"due", &f->due},
		      {"scheduled", &f->scheduled},
		      {"failed", &f->failed},
		      {"sent", &f->sent}};

	exposition_head(out, PREFIX "rows", "gauge",
			"Rows of message_log by state; counted up to 10,000, beyond that "
			"the server's estimate.");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		buffer_printf(out, PREFIX "rows{state=\"%s\"} %lld\n", states[i].state,
			      (long long)states[i].count->rows);
	exposition_number(out, PREFIX "oldest_due_seconds", "gauge",
			  "For how long the first row of the table has been due; 0: none "
			  "is.",
			  (double)f->oldest_due_ms / 1000);
}

static void write_relays(struct buffer *out, const struct figures *f)
{
	exposition_number(out, PREFIX "relays_connected", "gauge",
			  "Relays with a session at this table; behind a pooler none is "
			  "seen.",
			  f->relays_connected);
	exposition_head(
		out, PREFIX "claims", "gauge",
		"Claims on the table, of all relays, by whether their owner lives.");
	buffer_printf(out,
		      PREFIX "claims{owner=\"alive\"} %d\n" PREFIX
			     "claims{owner=\"dead\"} %d\n",
		      f->claims - f->dead_claims, f->dead_claims);
}

static void write_storage(struct buffer *out, const struct figures *f)
{
	exposition_head(out, PREFIX "database_dead_rows", "gauge",
			"Dead rows that VACUUM has not removed yet, by the server's "
			"statistics.");
	buffer_printf(out,
		      PREFIX "database_dead_rows{table=\"message_log\"} %lld\n" PREFIX
			     "database_dead_rows{table=\"message_log_claim\"} %lld\n",
		      (long long)f->dead_rows, (long long)f->dead_claim_rows);
	exposition_number(out, PREFIX "database_oldest_xmin_age_transactions", "gauge",
			  "Transactions since the oldest snapshot that VACUUM must "
			  "respect; without pg_read_all_stats sessions of other roles "
			  "are not seen.",
			  (double)f->oldest_xmin_age);
	exposition_head(out, PREFIX "database_bytes", "gauge",
			"Size of message_log on disk.");
	buffer_printf(out,
		      PREFIX "database_bytes{part=\"table\"} %lld\n" PREFIX
			     "database_bytes{part=\"indexes\"} %lld\n",
		      (long long)f->table_bytes, (long long)f->index_bytes);
}

void metrics_write_database(struct buffer *out, const struct upkeep_status *s,
			    int64_t now_ms)
{
	if (s->read_at_ms) {
		write_rows(out, &s->figures);
		write_relays(out, &s->figures);
		write_storage(out, &s->figures);
		exposition_number(out, PREFIX "figures_age_seconds", "gauge",
				  "How old the figures of the database are: a scrape "
				  "shows those that were read for the one before.",
				  (double)(now_ms - s->read_at_ms) / 1000);
	}
	exposition_number(out, PREFIX "retention_rows_deleted_total", "counter",
			  "Sent rows that retention has deleted.",
			  (double)s->retention_deleted);
	exposition_number(out, PREFIX "retention_passes_total", "counter",
			  "Times that retention found nothing more to delete.",
			  (double)s->retention_passes);
	exposition_number(out, PREFIX "upkeep_failures_total", "counter",
			  "Sessions for figures and retention that failed.",
			  (double)s->failures);
}

#include "metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "monitor/exposition.h"

#define PREFIX "outbox_relay_"

/* --- counters --- */

struct counter {
	const char *name, *help;
	size_t offset; /* of a uint64_t in struct counts */
};

#define COUNTER(name, member, help)                                         \
	{                                                                   \
		PREFIX name "_total", help, offsetof(struct counts, member) \
	}

static const struct counter counters[] = {
	COUNTER("rows_claimed", claimed, "Rows taken from the database to be published."),
	COUNTER("messages_published", published,
		"Messages handed to the broker, repeated ones included."),
	COUNTER("possible_duplicates", interrupted,
		"Publishes without an answer when a connection or channel ended; each may "
		"have led to one duplicate."),
	COUNTER("claims_adopted", claims_adopted, "Claims taken over from dead relays."),
	COUNTER("claims_lost", claims_lost,
		"Claims of ours that were gone: adopted, or forgotten in a crash of the "
		"database."),
	COUNTER("destinations_parked", parked,
		"Times that a destination was parked because it refused row after row."),
	COUNTER("sessions_opened", connects,
		"Sessions opened with the database and the broker."),
	COUNTER("config_reloads_refused", reloads_refused,
		"Times that SIGHUP found a configuration that was not valid."),
};

static void write_counters(struct buffer *out, const struct counts *c)
{
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)c + counters[i].offset, sizeof(value));
		exposition_number(out, counters[i].name, "counter", counters[i].help,
				  (double)value);
	}
}

static void write_verdicts(struct buffer *out, const struct counts *c)
{
	exposition_head(
		out, PREFIX "verdicts_total", "counter",
		"What became of publishes, and of rows that cannot be published.");
	for (int v = 0; v < VERDICT_COUNT; v++)
		buffer_printf(out, PREFIX "verdicts_total{verdict=\"%s\"} %llu\n",
			      verdict_name((enum verdict)v),
			      (unsigned long long)c->verdicts[v]);
}

static void write_settled(struct buffer *out, const struct counts *c)
{
	exposition_head(out, PREFIX "rows_settled_total", "counter",
			"Rows whose fate the database was told.");
	buffer_printf(out,
		      PREFIX "rows_settled_total{fate=\"sent\"} %llu\n" PREFIX
			     "rows_settled_total{fate=\"retry\"} %llu\n" PREFIX
			     "rows_settled_total{fate=\"failed\"} %llu\n",
		      (unsigned long long)c->sent, (unsigned long long)c->retried,
		      (unsigned long long)c->failed);
}

/* --- histograms --- */

/* `unit` of the values: 0.001 for milliseconds. */
static void histogram(struct buffer *out, const char *name, const char *help,
		      const struct histogram *h, double unit)
{
	uint64_t below = 0;

	exposition_head(out, name, "histogram", help);
	for (size_t i = 0; i < h->bound_count; i++) {
		below += h->counts[i];
		buffer_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name,
			      (double)h->bounds[i] * unit, (unsigned long long)below);
	}
	buffer_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.15g\n%s_count %llu\n",
		      name, (unsigned long long)h->total, name, (double)h->sum * unit,
		      name, (unsigned long long)h->total);
}

static void write_histograms(struct buffer *out, const struct counts *c)
{
	histogram(out, PREFIX "confirm_seconds",
		  "From publishing to the broker's confirm.", &c->confirm_ms, 0.001);
	histogram(out, PREFIX "delivery_seconds",
		  "From the moment a row was due (the start of its transaction, or its "
		  "next_retry) to the broker's confirm; rows sent at the first attempt.",
		  &c->delivery_ms, 0.001);
	histogram(out, PREFIX "batch_rows", "Rows of a claim.", &c->batch_rows, 1);
}

/* --- gauges --- */

static void write_sides(struct buffer *out, const struct status *s, int64_t now_ms)
{
	exposition_head(out, PREFIX "connected", "gauge",
			"Is the session there (1) or not (0).");
	buffer_printf(out,
		      PREFIX "connected{side=\"database\"} %d\n" PREFIX
			     "connected{side=\"broker\"} %d\n",
		      s->database.is_up, s->broker.is_up);
	exposition_head(out, PREFIX "down_seconds", "gauge",
			"For how long a side has been down.");
	buffer_printf(out,
		      PREFIX "down_seconds{side=\"database\"} %g\n" PREFIX
			     "down_seconds{side=\"broker\"} %g\n",
		      s->database.is_up ? 0
					: (double)(now_ms - s->database.since_ms) / 1000,
		      s->broker.is_up ? 0 : (double)(now_ms - s->broker.since_ms) / 1000);
	exposition_number(out, PREFIX "broker_blocked", "gauge",
			  "Does the broker take no messages at present (1).",
			  s->block_reason[0] != 0);
	exposition_number(out, PREFIX "broker_blocked_seconds_total", "counter",
			  "For how long the broker took no messages.",
			  (double)s->counts.blocked_ms / 1000 +
				  (s->block_reason[0]
					   ? (double)(now_ms - s->blocked_since_ms) / 1000
					   : 0));
}

static void write_work(struct buffer *out, const struct status *s, int64_t now_ms)
{
	exposition_number(out, PREFIX "rows_in_hand", "gauge",
			  "Rows claimed and not settled yet.", s->rows_in_hand);
	exposition_number(out, PREFIX "messages_in_flight", "gauge",
			  "Messages published and not confirmed yet.", s->rows_in_flight);
	exposition_number(out, PREFIX "claims_in_hand", "gauge",
			  "Claims not settled yet.", s->batches);
	exposition_number(out, PREFIX "oldest_in_hand_seconds", "gauge",
			  "For how long the oldest row in hand has been due.",
			  s->oldest_due_ms == CLOCK_NEVER
				  ? 0
				  : (double)(now_ms - s->oldest_due_ms) / 1000);
	exposition_number(out, PREFIX "loop_age_seconds", "gauge",
			  "How long ago the relay's loop turned last.",
			  (double)(now_ms - s->at_ms) / 1000);
}

static void write_parked(struct buffer *out, const struct status *s, int64_t now_ms)
{
	exposition_number(out, PREFIX "parked_destinations", "gauge",
			  "Destinations that refuse row after row and are probed only.",
			  s->parked_count);
	exposition_head(
		out, PREFIX "destination_parked_seconds", "gauge",
		"For how long a destination has been parked; routing_key is empty for all.");
	for (int i = 0; i < s->parked_count; i++) {
		const struct status_parked *p = &s->parked[i];

		buffer_printf(out, PREFIX "destination_parked_seconds{");
		exposition_label(out, "exchange", p->exchange);
		buffer_printf(out, ",");
		exposition_label(out, "routing_key", p->has_key ? p->routing_key : "");
		buffer_printf(out, "} %g\n", (double)(now_ms - p->since_ms) / 1000);
	}
}

/* --- the process --- */

static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int count = -3; /* ".", ".." and the folder itself */

	if (!d)
		return 0;
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*s %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_process(struct buffer *out, const char *libraries)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	exposition_head(out, PREFIX "build_info", "gauge",
			"Version of the program and its libraries.");
	buffer_printf(out, PREFIX "build_info{version=\"" VERSION "\",");
	exposition_label(out, "libraries", libraries);
	buffer_printf(out, "} 1\n");
	exposition_number(out, "process_cpu_seconds_total", "counter",
			  "User and system CPU time of this process.",
			  seconds(usage.ru_utime) + seconds(usage.ru_stime));
	exposition_number(out, "process_resident_memory_bytes", "gauge",
			  "Resident memory.", resident_bytes());
	exposition_number(out, "process_open_fds", "gauge", "Open file descriptors.",
			  open_files());
	exposition_number(out, PREFIX "log_lines_dropped_total", "counter",
			  "Log lines that could not be written.", (double)log_dropped());
}

/* --- alerts --- */

static void write_alerts(struct buffer *out, const struct webhook_counts *c)
{
	exposition_number(out, PREFIX "alerts_sent_total", "counter",
			  "Messages that the webhook took.", (double)c->sent);
	exposition_number(
		out, PREFIX "alerts_failed_total", "counter",
		"Messages that the webhook refused, or did not take for too long.",
		(double)c->failed);
	exposition_number(
		out, PREFIX "alerts_dropped_total", "counter",
		"Messages that were not delivered when the process ended, or found no "
		"memory.",
		(double)c->dropped);
}

void metrics_write(struct buffer *out, const struct status *s,
		   const struct webhook_counts *alerts, const char *libraries,
		   int64_t now_ms)
{
	write_counters(out, &s->counts);
	write_verdicts(out, &s->counts);
	write_settled(out, &s->counts);
	write_histograms(out, &s->counts);
	write_sides(out, s, now_ms);
	write_work(out, s, now_ms);
	write_parked(out, s, now_ms);
	if (alerts)
		write_alerts(out, alerts);
	write_process(out, libraries);
}

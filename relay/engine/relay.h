#ifndef ENGINE_RELAY_H
#define ENGINE_RELAY_H

#include <stdbool.h>

#include "broker/broker.h"
#include "config/config.h"
#include "engine/counts.h"
#include "engine/status.h"

/*
 * The relay: one thread, one loop, two halves that never wait for each other.
 *
 *      PostgreSQL                       memory                        broker
 *   ┌───────────────┐  claim, fetch  ┌─────────────┐  publish     ┌──────────────┐
 *   │ message_log   │ ─────────────▶ │ up to six   │ ───────────▶ │ exchange     │
 *   │ …_claim       │ ◀───────────── │ batches     │ ◀─────────── │              │
 *   └───────────────┘  settle        └─────────────┘  receipts    └──────────────┘
 *        turns.c                         work.c                       sender.c
 *
 * While batch k is being published and confirmed, the database settles batch k-1 and
 * claims batch k+1 in one round trip and one commit. A lost side is reopened with
 * backoff; what the other side knows stays in memory meanwhile: confirmed rows are
 * settled first after the database comes back, and when the broker does not come back at
 * once the claims are given back, so that another relay can send the rows.
 */

enum relay_end {
	RELAY_STOPPED,   /* asked to stop, or (until_empty) nothing is due: all settled */
	RELAY_RELOAD,    /* SIGHUP: all settled or released; load the configuration, run
			    again */
	RELAY_CUT_SHORT, /* asked to stop, but shutdown_timeout passed with rows
			  unsettled */
	RELAY_OUT_OF_MEMORY, /* memory is short: all settled or released, if that went well */
	RELAY_UNAVAILABLE, /* until_empty only: a side cannot be reached, or a
			     destination is parked */
};

struct relay;

/* What the relay asks of its surroundings; `context` is passed along. */
struct relay_hooks {
	/* SIGHUP came: is there a valid new configuration? False: run on with the old
	 * one. */
	bool (*reload)(void *context);
	/* Once a turn of the loop, at least every few seconds: the process is alive. */
	void (*tick)(void *context);
	void *context;
	struct counts *counts;      /* to go on counting in; NULL: its own, from 0 */
	struct status_board *board; /* where it puts up its status; NULL: nowhere */
};

/* No I/O. All stay valid until relay_free(). Takes over the broker. */
struct relay *relay_new(const struct config *config, struct broker *broker,
			bool until_empty, const struct relay_hooks *hooks);
void relay_free(struct relay *r);

/*
 * Runs until a signal (base/stop.h) or, with until_empty, until nothing is due; returns
 * at the latest shutdown_timeout after the signal. Outages on either side end nothing: it
 * waits.
 */
enum relay_end relay_run(struct relay *r);

const struct counts *relay_counts(const struct relay *r);

#endif

#include "link.h"

#include <stdio.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"

#define REMIND_MS 60000

/* A side that comes and goes faster than this is retried ever more slowly. */
#define LASTING_MS 10000

static const struct backoff retry_soon = {100, 2, 5000, 20};
static const struct backoff retry_slowly = {500, 2, 10000, 20};

void link_init(struct link *l, const char *name)
{
	*l = (struct link){.name = name, .down_since_ms = clock_ms()};
}

bool link_is_due(const struct link *l, int64_t now_ms)
{
	return !l->is_up && now_ms >= l->retry_at_ms;
}

void link_up(struct link *l, const char *peer)
{
	int64_t now_ms = clock_ms();

	log_info("connected", LOG_STR("side", l->name), LOG_STR("peer", peer),
		 LOG_INT("down_ms", now_ms - l->down_since_ms),
		 LOG_INT("failed_tries", l->failures));
	l->is_up = true;
	l->up_since_ms = now_ms;
	l->failures = 0;
	l->said[0] = '\0';
}

static void say(struct link *l, const struct error *err, int64_t now_ms)
{
	if (strcmp(l->said, err->text) == 0 && now_ms - l->said_at_ms < REMIND_MS)
		return;
	/* At most one line a second, even if the reason changes with every try. */
	if (l->said[0] && now_ms - l->said_at_ms < 1000)
		return;
	snprintf(l->said, sizeof(l->said), "%s", err->text);
	l->said_at_ms = now_ms;
	log_warn(l->is_up ? "disconnected" : "cannot connect", LOG_STR("side", l->name),
		 LOG_STR("error", err->text),
		 LOG_INT("down_ms", l->is_up ? 0 : now_ms - l->down_since_ms));
}

void link_down(struct link *l, const struct error *err)
{
	const struct backoff *b = err->kind == ERROR_REFUSED || err->kind == ERROR_CONFIG
					  ? &retry_slowly
					  : &retry_soon;
	int64_t now_ms = clock_ms();

	say(l, err, now_ms);
	if (l->is_up && now_ms - l->up_since_ms >= LASTING_MS)
		l->step = 0;
	if (l->is_up)
		l->down_since_ms = now_ms;
	else
		l->failures++;
	l->is_up = false;
	l->retry_at_ms = now_ms + backoff_ms(b, l->step, backoff_random());
	l->step++;
}

"""The relay broken on purpose, one line at a time, and the tests that must see it.

Each edit replaces a text that stands exactly once in its file, or the run fails: a table that no
longer fits the sources proves nothing. Each of `steps` is run until one is red:

    unit NAME           tests/unit/test_NAME.c
    integration NAME    a test of tests/integration, by (part of) its name
    fault NAME          a scenario of tests/fault, judged by the checker
"""

import dataclasses


@dataclasses.dataclass
class Mutant:
    name: str
    what: str  # the promise that it breaks
    steps: list
    edits: list  # (file, text, instead)


SENDER = "relay/engine/sender.c"
TURNS = "relay/engine/turns.c"
TURNS_PLAN = "relay/engine/turns_plan.c"
TURNS_ANSWERS = "relay/engine/turns_answers.c"
POLICY = "relay/engine/policy.c"
STORE_OPEN = "relay/store/store_open.c"
STORE_TURN = "relay/store/store_turn.c"
STORE_ANSWERS = "relay/store/store_answers.c"
SETTLE = "relay/store/settle.c"
SQL = "relay/store/sql.h"
RABBITMQ = "relay/broker/rabbitmq.c"
ENCODE = "relay/broker/rabbitmq_encode.c"
CONFIRMS = "relay/broker/confirms.c"

MUTANTS = [
    # --- sent means confirmed and routed ---
    Mutant("mark_before_ack", "a row is sent when it is published, not when it is confirmed",
           ["fault nobody_is_killed", "unit sender"],
           [(SENDER,
             "	batch_set_state(b, row, ROW_IN_FLIGHT);\n",
             "	batch_set_state(b, row, ROW_IN_FLIGHT);\n"
             "	decide(s, b, row, VERDICT_SENT, \"\");\n")]),
    Mutant("ignore_returns", "a message that came back counts as delivered",
           ["fault nobody_is_killed", "unit rabbitmq_driver"],
           [(RABBITMQ,
             "		confirms_returned(&r->confirms, id, r->returned.reason);\n",
             "		(void)id;\n")]),
    Mutant("not_mandatory", "unroutable messages are dropped by the broker",
           ["unit rabbitmq_encode", "unit rabbitmq_driver"],
           [(ENCODE, "		.mandatory = 1,\n", "		.mandatory = 0,\n")]),
    Mutant("not_persistent", "messages do not survive a restart of the broker",
           ["unit rabbitmq_encode"],
           [(ENCODE, "AMQP_DELIVERY_PERSISTENT", "AMQP_DELIVERY_NONPERSISTENT")]),
    Mutant("nack_as_ack", "what the broker refused counts as delivered",
           ["unit rabbitmq_driver"],
           [(RABBITMQ, "				VERDICT_NACKED);\n", "				VERDICT_SENT);\n")]),
    Mutant("refused_as_sent", "rows with another fate are settled as sent",
           ["unit settle"],
           [(SETTLE, "int what = is_sent ? SENT : REFUSED;",
             "int what = SENT;")]),
    # --- which publish a confirm speaks of ---
    Mutant("settle_by_position", "a receipt settles the oldest row in flight, whatever its tag",
           ["fault nobody_is_killed", "unit sender"],
           [(SENDER,
             "static void take_receipt(",
             "static struct row *first_in_flight(struct work *w, struct batch **b)\n"
             "{\n"
             "	for (int i = 0; i < w->count; i++) {\n"
             "		*b = w->batches[i];\n"
             "		for (int k = 0; k < (*b)->count; k++) {\n"
             "			if ((*b)->rows[k].state == ROW_IN_FLIGHT)\n"
             "				return &(*b)->rows[k];\n"
             "		}\n"
             "	}\n"
             "	return NULL;\n"
             "}\n\n"
             "static void take_receipt("),
            (SENDER,
             "work_find(s->work, receipt->tag, &b);\n\n	s->receipts++",
             "first_in_flight(s->work, &b);\n\n	s->receipts++")]),
    Mutant("ack_one_too_many", "`multiple` covers one publish more than the broker said",
           ["unit confirms"],
           [(CONFIRMS, "for (; number <= last; number++)",
             "for (; number <= last + multiple && number < c->tail; number++)")]),
    Mutant("ack_one_too_few", "`multiple` leaves out the publish that it names",
           ["unit confirms"],
           [(CONFIRMS, "for (; number <= last; number++)",
             "for (; number <= last - multiple; number++)")]),
    Mutant("last_verdict_stands", "a verdict is overruled by a later one",
           ["unit confirms"],
           [(CONFIRMS,
             "		if (slot(c, number)->verdict == VERDICT_NONE)\n"
             "			decide(c, number, verdict);\n",
             "		if (slot(c, number)->verdict == VERDICT_NONE)\n"
             "			decide(c, number, verdict);\n"
             "		else\n"
             "			slot(c, number)->verdict = (uint8_t)verdict;\n")]),
    Mutant("return_without_a_look", "a returned message is taken for the next one in line",
           ["unit confirms"],
           [(CONFIRMS,
             "e->id_size == id.size && memcmp(e->id, id.data, id.size) == 0",
             "id.data")]),
    Mutant("tags_go_on_after_reopening", "delivery tags of a new channel do not start at 1",
           ["unit confirms"],
           [(CONFIRMS, "	c->base = c->tail - 1;\n", "")]),
    # --- exact blame ---
    Mutant("charge_whole_batch", "all rows in flight are charged when the broker closes a channel",
           ["fault killed_at and channel_closed", "unit rabbitmq_driver"],
           [(RABBITMQ,
             "	confirms_interrupt(&r->confirms,\n"
             "			   r->confirms.open == 1 ? VERDICT_REFUSED : VERDICT_UNCLEAR,\n",
             "	confirms_interrupt(&r->confirms, VERDICT_REFUSED,\n")]),
    Mutant("charge_outages", "rows in flight are charged when the connection ends",
           ["unit sender"],
           [(SENDER, "row->is_alone ? VERDICT_DEFERRED : VERDICT_NONE", "VERDICT_OVERDUE")]),
    Mutant("charge_silence", "rows are charged when the broker confirms nobody",
           ["unit sender"],
           [(SENDER, "	return s->answered_sequence > row->sequence &&\n",
             "	return s->answered_sequence >= 0 || row->sequence ||\n")]),
    Mutant("charge_a_standstill", "a row is charged for the time in which the relay itself stood still",
           ["unit sender"],
           [(SENDER, "		s->silent_from_ms = now_ms;\n", "		s->silent_from_ms += 0;\n")]),
    Mutant("charge_a_dead_relays_rows", "all rows of an adopted claim pay for its owner's death",
           ["unit turns"],
           [(TURNS_ANSWERS,
             "		if (row->id != b->publishing_id)\n"
             "			continue;\n"
             "		t->counts->verdicts[VERDICT_CRASHED]++;\n",
             "")]),
    Mutant("no_blame_for_a_death", "a row that kills relays does so for ever",
           ["unit turns"],
           [(TURNS_ANSWERS, "	blame_named(t, b);\n", "	(void)blame_named;\n")]),
    Mutant("no_disk_beside_others", "beside another relay claims do not wait for the disk",
           ["fault test_beside_another_relay_a_crash_forgets_no_claim"],
           [(SQL, "CASE WHEN pg_try_advisory_xact_lock($1, -3)", "CASE WHEN $1 IS NOT NULL")]),
    Mutant("no_time_to_come_back", "after a restart of PostgreSQL who is back first takes the others' claims",
           ["unit turns"],
           [(TURNS, "return !t->was_interrupted || turns_has_watched(t);",
             "return !t->was_interrupted || turns_has_watched(t) || t->link.is_up;")]),
    Mutant("no_absence", "who loses its session loses its claims at once",
           ["fault test_a_relay_that_loses_its_session_finds_its_claim_again"],
           [(SQL, '" WHERE " SQL_LEASE_IS_OVER', '" WHERE " SQL_LEASE_IS_OVER " OR " SQL_HAS_NO_SESSION')]),
    Mutant("nobody_is_named", "rows of an adopted claim go without being named in it",
           ["unit sender"],
           [(SENDER, "return b->is_adopted && b->publishing_id != row->id;",
             "return b->is_adopted && row->id == 0;")]),
    Mutant("one_attempt_more", "a row is tried once more than max_attempts",
           ["unit policy"],
           [(POLICY, "attempts >= p->max_attempts", "attempts > p->max_attempts")]),
    Mutant("one_attempt_less", "a row fails before its last attempt",
           ["unit policy"],
           [(POLICY, "attempts >= p->max_attempts", "attempts >= p->max_attempts - 1")]),
    # --- whose rows they are ---
    Mutant("no_claim_check", "rows in somebody's claim are claimed again",
           ["fault killed_at and claimed"],
           [(SQL,
             '	" AND (id > " SQL_GREATEST_CLAIMED "$10)"                                      \\\n'
             '	" OR id NOT IN " SQL_ALL_CLAIMED "$10))" AROUND', '	"" AROUND')]),
    Mutant("no_claim_check_of_older", "rows are claimed again whose claim does not tell its greatest id",
           ["integration claim_of_another_relay_are_left_alone"],
           [(SQL, "coalesce(greatest_id, 9223372036854775807)", "coalesce(greatest_id, 0)")]),
    Mutant("no_claim_lock", "two relays may claim the same rows at the same moment",
           ["fault waits_for_the_claim_of_another"],
           [(STORE_TURN, "		store_add_claim_lock(s, need_not_wait(s, t));\n",
             "		(void)need_not_wait;\n")]),
    Mutant("settle_what_is_not_ours", "rows are marked sent by a relay whose claim is gone",
           ["fault comes_back_after_its_lease"],
           [(SQL,
             '	" AND EXISTS (SELECT FROM mine)%2$s%3$s)"\n'
             "#define SQL_SETTLE_DELETE",
             '	"%2$s%3$s)"\n'
             "#define SQL_SETTLE_DELETE"),
            (SQL, " WHERE t.claim_id IN (SELECT claim_id FROM mine))", ")")]),
    Mutant("settle_along", "rows of a claim that is gone are marked with those of one that is not",
           ["fault settled_together_only_our_own"],
           [(SQL, " WHERE t.claim_id IN (SELECT claim_id FROM mine))", ")")]),
    Mutant("charge_what_is_not_ours", "rows are charged by a relay whose claim is gone",
           ["fault comes_back_after_its_lease"],
           [(SQL, '	" AND EXISTS (SELECT FROM mine)%1$s RETURNING m.id)"\n',
             '	"%1$s RETURNING m.id)"\n')]),
    Mutant("charge_twice", "a settlement that is repeated charges twice",
           ["fault repeated_charges_once"],
           [(SQL, " AND m.try_count = r.try_count",
             "")]),
    Mutant("overwrite_the_application", "a row that the application marked is overwritten",
           ["integration marked_sent_after_its_claim"],
           [(SQL, """r.fate <> 'sent' AND m.status " SQL_STILL_SENDING """, "r.fate <> 'sent'\" ")]),
    Mutant("adopt_the_living", "claims are adopted without waiting for a death",
           ["fault living_relay_is_not_adopted"],
           [(SQL, "lease_until < clock_timestamp())", "lease_until IS NOT NULL)")]),
    Mutant("adopt_no_one", "a dead relay's rows stay in its claim",
           ["unit turns"],
           [(TURNS_PLAN, "	if (t->appetite == APPETITE_AWAKE && now_ms >= t->adopt_at_ms &&\n",
             "	if (t->appetite == APPETITE_AWAKE && now_ms < 0 &&\n")]),
    Mutant("adopt_in_an_outage", "a row pays for a death that was an outage",
           ["unit turns", "fault longer_than_a_lease"],
           [(TURNS_PLAN, "		turn->adopt = true;\n		turn->with_named = turns_has_watched(t);\n",
             "		turn->adopt = true;\n		turn->with_named = true;\n")]),
    Mutant("never_renew", "a lease runs out while its owner is at work",
           ["unit turns"],
           [(TURNS_PLAN, "			t->turn.renew = true;\n", "			t->turn.renew = false;\n")]),
    Mutant("renew_what_is_gone", "rows of a claim that somebody adopted are published on",
           ["unit turns"],
           [(TURNS_ANSWERS,
             "		if (!is_renewed(&t->turn, b->claim_id))\n"
             "			turns_give_up_batch(b);\n",
             "		(void)is_renewed;\n")]),
    Mutant("publish_past_the_lease", "rows are published when the lease may have run out",
           ["unit sender"],
           [(SENDER,
             "		if (!row || must_be_named(b, row) ||\n"
             "		    now_ms >= b->lease_deadline_ms - s->settings.lease_margin_ms)\n",
             "		(void)now_ms;\n"
             "		if (!row || must_be_named(b, row))\n")]),
    Mutant("settle_too_early", "a claim is closed when the first of its rows has a verdict",
           ["unit turns"],
           [(TURNS_PLAN, "if (batch_open_rows(b) == 0 || release)",
             "if (b->in_state[ROW_DECIDED] || batch_open_rows(b) == 0 || release)")]),
    Mutant("forget_verdicts", "confirmed rows are sent again after the database was lost",
           ["fault session_is_terminated_at"],
           [(STORE_TURN, "		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);\n",
             "		batch_move_all(t->settle[i], ROW_SETTLING, ROW_WAITING);\n")]),
    Mutant("publish_what_was_given_back",
           "rows of a claim that was perhaps given back are published",
           ["fault perhaps_given_back"],
           [(STORE_TURN,
             "		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);\n",
             "		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED),\n"
             "			t->settle[i]->is_settling = false;\n")]),
    Mutant("free_what_the_broker_borrows", "a lost claim is freed with its rows in flight",
           ["unit turns"],
           [(TURNS_ANSWERS, "		if (!b->in_state[ROW_IN_FLIGHT])\n", "")]),
    Mutant("settle_without_the_disk", "a crash of the server forgets what it said was settled",
           ["fault what_was_settled_survives"],
           [(STORE_TURN, "store_add_claim_lock(s, need_not_wait(s, t));\n",
             "store_add_claim_lock(s, need_not_wait(s, t) || t->claim_limit);\n")]),
    Mutant("crash_without_verdicts", "what was confirmed is published again when a crash forgot its claim",
           ["fault what_has_a_verdict_is_settled"],
           [(STORE_OPEN, "	return claim_anew(s, batches, count, claims, deadline_ms, err);\n",
             "	(void)claim_anew;\n	return 0;\n")]),
    Mutant("keep_a_forgotten_id", "a lost claim passes for the one that got its id after a crash",
           ["unit turns"],
           [(TURNS, "	b->claim_id = 0;\n", "")]),
    Mutant("count_what_is_free", "rows that a lost claim set free are counted as sent",
           ["unit turns"],
           [("relay/store/batch.c", "		row->is_counted = true;\n", "")]),
    Mutant("adopt_what_has_no_lock", "relays do not lock themselves, so the living look dead",
           ["fault living_relay_is_not_adopted"],
           [(STORE_OPEN, "		pg_add(s->pg, SQL_LOCK_SELF, p);\n", "")]),
    Mutant("drop_foreign_claims", "a relay that connects deletes the claims of others",
           ["fault living_relay_is_not_adopted"],
           [(SQL, '	"DELETE FROM message_log_claim WHERE relay_id = ANY ($1)" \\\n',
             '	"DELETE FROM message_log_claim WHERE relay_id <> ALL ($1)" \\\n')]),
    Mutant("take_back_what_was_adopted", "after a reconnect a relay takes its claims from adopters",
           ["fault leaves_its_adopted_claim_alone"],
           [(SQL, "	\" WHERE relay_id = ANY ($1) AND claim_id = ANY ($2) RETURNING claim_id\"\n",
             "	\" WHERE $1::integer[] IS NOT NULL AND claim_id = ANY ($2) RETURNING claim_id\"\n")]),
    Mutant("forget_older_claims", "of the claims there are a relay sees its newest only",
           ["fault claims_no_row_twice"],
           [(STORE_ANSWERS, "pg_int(r, 0, pg_is_null(r, 0, 5) ? 0 : 5)", "pg_int(r, 0, 0)")]),
    Mutant("leave_with_claims", "a relay that is told to stop leaves its claims behind",
           ["unit relay"],
           [("relay/engine/relay.c",
             "	return (r->work.count == 0 && !store_turn_is_busy(r->store)) ||\n"
             "	       clock_ms() >= r->release_until_ms;\n",
             "	return true;\n")]),
    Mutant("leave_without_confirms", "a relay that is told to stop does not wait for confirms",
           ["unit relay"],
           [("relay/engine/relay.c", "	     work_in_flight(&r->work) == 0)) {\n", "	     true)) {\n")]),
    # --- no row is overlooked ---
    Mutant("no_second_look", "a row that came just before the bell was taken waits for a poll",
           ["fault before_the_bell_is_taken", "unit turns"],
           [(TURNS_ANSWERS, "	if (adopts || turn->next_due_ms == 0 || turn->found_late) {\n",
             "	if (turn->bell != STORE_BELL_TAKEN && (adopts || turn->next_due_ms == 0)) {\n")]),
    Mutant("never_look_back", "rows that commit late, before the low-water mark, are never seen",
           ["unit turns"],
           [(TURNS_PLAN, "now_ms >= t->claims_look_at_ms", "false"),
            (TURNS_PLAN, "now_ms >= turns_look_back_ms(t)", "false")]),
    Mutant("look_back_a_little", "rows that commit very late are never seen while the horizon is pinned",
           ["unit look_back"],
           [("relay/store/look_back.c", "	l->until = from;\n", "	l->until = DUE_BEGINNING;\n")]),
    Mutant("trust_old_pieces", "a row that is committed late, where it has looked already, waits for a poll",
           ["unit turns"],
           [(TURNS_ANSWERS, "	if (turn->bell == STORE_BELL_WRITERS)\n		t->may_have_missed = true;\n",
             "")]),
    Mutant("look_back_at_once", "claims wait while all dead index entries are passed",
           ["unit look_back"],
           [("relay/store/look_back.c", "l->is_whole = l->spent_us <= PIECE_US;", "l->is_whole = true;")]),
    Mutant("deaf", "nobody wakes when the bell rings",
           ["unit turns"],
           [(TURNS, "	if (rc > 0 && t->has_bell) {\n", "	if (rc > 1 && t->has_bell) {\n")]),
    Mutant("keep_the_bell", "a relay at work lets every writer ring",
           ["unit turns"],
           [(TURNS_PLAN, "	t->turn.wake = store_has_bell(t->store) && !t->turn.keeps_bell;\n",
             "	t->turn.wake = false;\n")]),
    Mutant("deaf_after_a_claim", "what rings during a claim that kept the bell is not heard",
           ["unit turns"],
           [(TURNS_ANSWERS, "	fall_asleep(t, clock_min(t->sleep_until_ms, t->looked_at_ms + TRICKLE_LOOK_MS),\n"
             "		    true);\n",
             "	fall_asleep(t, clock_min(t->sleep_until_ms, t->looked_at_ms + TRICKLE_LOOK_MS),\n"
             "		    false);\n")]),
    Mutant("ring_for_a_crowd", "a relay keeps the bell however many rows come",
           ["unit turns"],
           [(TURNS_PLAN, "t->was_rung && t->is_trickle && store_has_bell(t->store)",
             "t->was_rung && store_has_bell(t->store)")]),
    Mutant("gather_for_ever", "batches that are done wait for others until many are",
           ["unit turns"],
           [(TURNS_PLAN, "if (rows >= GATHER_ROWS || now_ms >= until_ms)", "if (rows >= GATHER_ROWS)")]),
    # --- parked destinations ---
    Mutant("never_park", "one bad deploy fails a whole table",
           ["unit parking"],
           [("relay/engine/parking.c", "p->count == PARKING_MAX)", "p->count >= 0)")]),
    Mutant("park_for_ever", "a destination that takes messages again stays parked",
           ["unit parking"],
           [("relay/engine/parking.c",
             "	while ((i = find_parked(p, msg)) >= 0)\n		resume(p, i);\n",
             "	i = 0;\n	(void)i;\n")]),
    Mutant("wait_for_a_stuck_queue", "a queue that confirms nothing holds up all others",
           ["unit relay"],
           [(SENDER, "	return sender_is_ready(s) && work_in_flight(s->work) > 0 &&\n",
             "	return work_in_flight(s->work) < 0 &&\n")]),
    Mutant("sleep_after_half_a_look", "a row that was committed late waits for the next poll",
           ["unit turns"],
           [(TURNS_ANSWERS, "		until_ms = clock_min(until_ms, turns_look_back_ms(t));\n",
             "		until_ms = clock_min(until_ms, CLOCK_NEVER);\n")]),
    Mutant("others_overtake_a_name", "a row is blamed for a death while others are published",
           ["unit sender"],
           [(SENDER, "	s->is_named_next = true;\n", "")]),
    Mutant("publish_what_is_parked", "rows of a parked destination use up their attempts",
           ["unit sender"],
           [("relay/engine/parking.c", "	return p->count && find_parked(p, msg) >= 0;\n",
             "	(void)msg;\n	return p->count < 0;\n")]),
    # --- the wire ---
    Mutant("drop_the_rest", "what a socket did not take at once is dropped",
           ["integration body_of_64_mib"],
           [("relay/broker/frames.c", "		buffer_consume(&f->out, (size_t)sent);\n",
             "		buffer_consume(&f->out, buffer_size(&f->out));\n")]),
    Mutant("no_heartbeats", "an idle connection is ended by the broker",
           ["unit rabbitmq_driver"],
           [("relay/broker/frames.c", "		buffer_append(&f->out, frame, sizeof(frame));\n",
             "		(void)frame;\n")]),
    Mutant("wait_for_ever", "a broker that fell silent is never noticed",
           ["unit rabbitmq_driver"],
           [("relay/broker/frames.c",
             "	if (now - f->heard_ms > SILENT_MAX * f->heartbeat_ms)\n",
             "	if (now - f->heard_ms > 1000 * SILENT_MAX * f->heartbeat_ms)\n")]),
    Mutant("publish_when_blocked", "messages pile up in a broker that asked for silence",
           ["unit rabbitmq_driver"],
           [(RABBITMQ, "!r->is_paused && !r->frames.is_blocked &&", "!r->is_paused &&")]),
]

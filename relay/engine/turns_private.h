#ifndef ENGINE_TURNS_PRIVATE_H
#define ENGINE_TURNS_PRIVATE_H

#include "engine/turns.h"

/*
 * What the files behind turns.h share; nobody else includes it.
 *
 *   turns.c          the session, and turns from begin to end
 *   turns_plan.c     what to ask of the database next
 *   turns_answers.c  what came of it
 */

/* Fills t->turn; false: there is nothing to ask for. */
bool turns_plan(struct turns *t, bool release, struct batch *unnamed_batch,
		const struct row *unnamed, int64_t now_ms);

/* Is there room for a batch more, once so many have left? */
bool turns_has_room(const struct turns *t, int leave);

void turns_take_answers(struct turns *t);

/*
 * Somebody else owns these rows now: what is in flight cannot be called back, the rest is
 * not published. The batch ends when its last receipt is in; settling it will change
 * nothing, unless what has a fate was claimed anew (STORE_CLAIM_ANEW).
 */
void turns_give_up_batch(struct batch *b);

/*
 * Its claim is gone. Once only, and from then on without its claim_id: a server that forgot the
 * claim in a crash may give that to another one.
 */
void turns_lose_claim(struct turns *t, struct batch *b);

/* When to look back, with a peek. */
int64_t turns_look_back_ms(const struct turns *t);

/* How often to look, while another relay's claim names a row. */
int64_t turns_watch_ms(const struct turns *t);

/*
 * Who adopts a claim that names a row charges the row for its owner's death. But a lease runs out in
 * any outage that is longer, and then its owner lives and shall come back first: such a claim is
 * left alone until the database has answered for a whole lease, without a gap. (It need not be this
 * relay's session that breaks: a pooler keeps it, and so does a network that swallows for a while.)
 */
bool turns_has_watched(const struct turns *t);

/*
 * When a session of ours breaks, it may be the server that went, and every relay's session with it:
 * that their locks are free then says nothing, and in a longer outage their leases run out, too. So
 * from then on others are left as much time to come back for their claims: rows that they have the
 * broker's word for shall not be published again (C3).
 */
bool turns_may_adopt(const struct turns *t);

#endif

"""The faults that a sidecar between a database and a broker has to stand: number, fault, what is
expected. A test names the number in its marker; see scenario.py."""

GROUPS = {
    "Relay process": {
        1: ("kill -9 before the claim", "no change"),
        2: ("kill -9 behind the claim's commit, before a publish",
            "claimed again, by an adopter; no duplicate"),
        3: ("kill -9 with half a frame written", "the broker drops it; no duplicate of that row"),
        4: ("kill -9 behind a publish, before its ack", "duplicates of rows in flight at most"),
        5: ("kill -9 behind the ack, before the UPDATE", "duplicates, then sent"),
        6: ("kill -9 between COMMIT and its answer", "sent, or published again; never lost"),
        7: ("SIGTERM with a thousand rows unresolved",
            "waits for acks, settles, gives claims back, exit 0"),
        8: ("SIGTERM while the broker blocks", "exit in time, claims given back, no charge"),
        9: ("a second SIGTERM or SIGINT", "ends at once, exit 128 + n"),
        10: ("SIGHUP with a broken file", "the old configuration stays; one line"),
        11: ("SIGHUP with another configuration under load",
             "reconnects; unresolved rows finished or released first"),
        13: ("two relays on one table", "each row published once"),
        14: ("twenty relays on ten rows", "no deadlock, no starvation, each row once"),
        15: ("the wall clock jumps by an hour", "nothing"),
        16: ("no file descriptors left", "a clear error, backs off, no spin"),
        17: ("no memory, at every allocation", "ends cleanly; its rows are adopted"),
        18: ("the log is full or a broken pipe", "goes on publishing"),
        19: ("nobody reads the log", "drops lines, does not wait"),
        20: ("signals under load, under sanitizers", "no deadlock, no finding"),
    },
    "PostgreSQL": {
        21: ("restarted, fast", "reconnects; nobody is charged"),
        22: ("killed (immediate, kill -9)",
             "reconnects; nobody is charged; with synchronous_commit off duplicates only"),
        23: ("not started yet", "waits, backing off"),
        24: ("failover to a streaming standby, several hosts in the URL",
             "goes to the one that writes; what an asynchronous standby lacks is the database's "
             "loss"),
        25: ("turned read-only in place", "closes the session and tries again later"),
        26: ("the relay's session terminated again and again", "goes on"),
        27: ("the table locked for longer than lock_timeout",
             "tries again; acks are kept and settled later"),
        28: ("killed while idle in a transaction", "tries again"),
        29: ("the table is missing", "one message, slow tries; goes on when it is back"),
        30: ("a column is missing or has another type", "the same; rows untouched"),
        31: ("the right to UPDATE revoked", "stops publishing; no endless duplicates"),
        32: ("disk full while settling", "holds the acks and stops claiming; goes on later"),
        34: ("serializable is the default isolation", "no failures to serialize"),
        35: ("too many connections", "backs off; goes on when there is room"),
        36: ("PgBouncer in transaction mode", "works with database.pooling: transaction"),
        37: ("half-open connection to PostgreSQL", "noticed, reconnects"),
        38: ("slow connection to PostgreSQL (1 KB/s)", "heartbeats to the broker go on"),
        39: ("a foreign transaction pins the vacuum horizon under load", "latency stays bounded"),
        41: ("commits out of the order of ids", "no row is skipped"),
        42: ("a backlog of a million rows at the start", "memory does not grow with it"),
    },
    "RabbitMQ": {
        43: ("restarted under load", "reconnects within 10 s of its return"),
        44: ("kill -9 (durable, persistent)", "acked messages are there afterwards"),
        45: ("memory alarm", "no attempts; goes on by itself"),
        46: ("disk alarm", "the same"),
        48: ("frozen for a minute", "noticed, reconnects"),
        49: ("half-open connection to RabbitMQ", "noticed within two heartbeats or so"),
        50: ("acks withheld, heartbeats flow", "confirm timeout, reconnects; nobody is charged"),
        51: ("reset in the middle of a batch", "unresolved rows are sent again"),
        52: ("the queue is missing, mandatory", "returned: attempts 1, 2, 3, then failed"),
        53: ("the queue is deleted with messages unconfirmed",
             "RabbitMQ acks them: its known hole"),
        54: ("the exchange of one row among many is missing",
             "that row alone is charged; others arrive twice at most"),
        55: ("no right to write to an exchange", "that destination waits; no row fails"),
        56: ("vhost missing, wrong password", "slow tries; goes on when it is set right"),
        57: ("reject-publish", "nacks; backs off; charged by the table"),
        58: ("nack multiple behind a higher ack multiple", "the first verdict wins"),
        60: ("connection.close 320 with unresolved rows", "reconnects; nobody is charged"),
        61: ("garbage, truncated and huge frames", "drops the connection; no crash"),
        62: ("frame_max tuned to 4096", "bodies are split rightly"),
        63: ("slow reader", "the loop is alive, the window bounded"),
        64: ("TLS gone wrong in every way", "refused with a distinct message; never plain text"),
        65: ("name resolution fails or is slow", "goes on when it is back"),
    },
    "Row content": {
        66: ("NULLs", "documented default, refused or failed"),
        67: ("routing key of 255, 256 bytes, NUL, no UTF-8", "255 is fine; else never published"),
        68: ("every odd header", "mapped exactly, or failed; the connection survives"),
        69: ("headers that are no object, or too large", "refused or failed"),
        70: ("bodies of every critical size", "equal bytes, or failed before sending"),
        71: ("impossible properties", "failed before sending"),
        73: ("a row that always kills the connection", "found, failed after three; others arrive"),
    },
    "Configuration, webhook, HTTP": {
        74: ("every odd YAML file", "refused with file:line:column"),
        75: ("numbers out of range", "refused with the reason"),
        76: ("the webhook hangs", "the relay is not held up"),
        77: ("the webhook drips, redirects, fails", "capped, not followed, tried again"),
        78: ("ten thousand rows fail at once", "one alert an interval"),
        79: ("HTTP abuse", "refused; bounded; others are answered"),
        80: ("the HTTP port is in use", "exit 69, with a message"),
    },
}

NUMBERS = {number: row for group in GROUPS.values() for number, row in group.items()}

# What the relay promises, whatever happens -> the tests that would see it broken.
PROMISES = {
    "sent means confirmed and routed": (
        "test_a_row_is_not_sent_before_its_ack", "test_nobody_is_killed"),
    "nothing committed is lost, whoever is killed when": (
        "test_a_relay_is_killed_at", "test_postgres_is_killed_under_load_again_and_again",
        "test_rabbitmq_postgres_and_one_of_two_relays_are_killed"),
    "only rows without a verdict at a fault come twice": (
        "test_a_relay_is_killed_at", "test_the_connection_is_reset_at_any_byte"),
    "three attempts, for what is about that row, then failed with the reason": (
        "test_an_unroutable_row_fails_after_three_attempts_with_the_reason",
        "test_a_nacked_row_fails_after_three_attempts"),
    "outages of any length charge nobody and need no operator": (
        "test_postgres_is_away_for_two_minutes", "test_rabbitmq_is_down_for_two_minutes",
        "test_rabbitmq_is_low_on_memory_for_five_minutes"),
    "unless retry.count_outages says so": (
        "test_with_count_outages_lost_connections_are_charged_until_the_row_fails",),
    "one bad row harms nobody else": (
        "test_among_several_in_flight_only_the_row_that_closed_the_channel_is_charged",
        "test_a_row_that_always_kills_the_connection_fails_alone"),
    "every byte arrives as the row has it": (
        "test_2000_mixed_rows_arrive_in_order_byte_for_byte_and_once",
        "test_odd_headers_arrive_as_they_are", "test_bodies_around_multiples_of_the_frame_size_"
        "arrive_whole"),
    "bounded memory, time, processor and log": (
        "test_a_backlog_of_a_million_rows", "test_the_way_to_postgres_swallows_everything",
        "test_a_signal_while_the_broker_blocks_ends_in_time_and_gives_the_claim_back",
        "test_no_acks_for_a_minute_while_heartbeats_flow"),
    "people are told of each failed row, whatever the webhook does": (
        "test_ten_thousand_rows_that_fail_at_once_are_one_message",
        "test_what_happens_while_the_webhook_hangs_is_one_message",
        "test_at_the_end_the_last_failures_are_told"),
    "sent and failed rows are left alone": (
        "test_a_row_that_is_not_sending_is_never_published",
        "test_a_row_that_is_marked_sent_after_its_claim_is_left_as_it_is",
        "test_with_on_sent_delete_sent_rows_go_and_refused_rows_stay"),
    "several relays share a table, each row once": (
        "test_relays_on_one_table_publish_each_row_once", "test_twenty_relays_share_ten_rows"),
    "ack, no return: sent": ("test_an_acked_row_is_sent_and_charged_nothing",),
    "returned, then acked: charged": (
        "test_an_unroutable_row_is_charged_once_and_arrives_when_its_queue_appears",),
    "nacked: charged": (
        "test_a_nacked_row_is_charged_once_and_arrives_when_there_is_room",),
    "channel closed, one row in flight: charged": (
        "test_a_row_alone_in_flight_is_charged_when_the_broker_closes_the_channel",),
    "channel closed, several in flight: one at a time again, the guilty one charged": (
        "test_among_several_in_flight_only_the_row_that_closed_the_channel_is_charged",
        "test_two_guilty_rows_are_both_found_among_many"),
    "no confirm for this row while others have theirs: charged": (
        "test_a_row_without_confirm_while_others_have_theirs_is_charged",),
    "no confirm for anybody: not charged": (
        "test_a_row_is_charged_nothing_when_nobody_is_confirmed",),
    "connection lost, closed, blocked: not charged": (
        "test_rows_in_flight_are_charged_nothing_when_the_connection_is",
        "test_a_blocked_connection_charges_nothing_and_is_kept"),
    "the relay died with the row in its claim: adopted, not charged": (
        "test_rows_in_the_claim_of_a_killed_relay_are_adopted_and_charged_nothing",),
    "the relay died while it published exactly this row: charged": (
        "test_a_row_that_was_published_alone_when_the_relay_died_is_charged",
        "test_a_row_that_kills_every_relay_fails_after_three_and_its_neighbours_arrive"),
    "a row that cannot be said on the wire: failed before anything is sent": (
        "test_rows_that_pass_the_checks_and_cannot_be_published_fail_with_the_reason",),
    "a destination that refuses row after row is parked and probed": (
        "test_a_missing_exchange_fails_no_row_and_all_arrive_when_it_is_there",
        "test_an_exchange_without_bindings_fails_no_row",
        "test_a_probe_that_is_refused_is_charged_and_leaves_rows_their_last_attempt"),
}

"""Configurations of relays under test."""

# Every wait of the program is short here, so that the tests are.
QUICK = {
    "relay": {"poll_interval": "200ms", "lease": "3s", "shutdown_timeout": "5s"},
    "retry": {"first_delay": "100ms", "max_delay": "500ms", "jitter": 0},
    "http": {"listen": "off"},  # many relays at a time
    "log": {"level": "debug", "format": "logfmt"},
}

# Outages are noticed soon.
SHORT = {
    "database": {"connect_timeout": "2s", "statement_timeout": "2s", "lock_timeout": "200ms"},
    "broker": {"connect_timeout": "2s", "confirm_timeout": "3s", "heartbeat": "1s"},
    "relay": {"batch_size": 100},
}

DEAD = "127.0.0.1:1"  # nobody listens on this port


def quick_config(database_url, *amqp_urls):
    return {"database": {"url": database_url}, "broker": {"urls": list(amqp_urls)}, **QUICK}

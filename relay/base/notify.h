#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

/*
 * Tells the service manager how we are: systemd's notification protocol, one datagram to
 * the socket named by NOTIFY_SOCKET (sd_notify(3), "Notes"). Without that variable it
 * does nothing. Never blocks; what cannot be delivered is dropped. Forty lines, where
 * libsystemd would add four libraries to the process.
 *
 * `state` is "READY=1", "STOPPING=1", "WATCHDOG=1", …
 */
void notify_state(const char *state);

#endif

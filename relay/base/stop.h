#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <stdbool.h>

/*
 * Signals become a flag and a readable descriptor.
 *
 *   SIGTERM, SIGINT   asked to stop; the second one ends the process at once with 128 + signal
 *   SIGHUP            asked to reload
 *   SIGPIPE           ignored: broken pipes and sockets are errors of write(2)
 */

/* Installs the handlers; call once, before connections are opened. */
void stop_setup(void);

/* SIGPIPE alone, for commands that end by themselves. */
void stop_ignore_broken_pipes(void);

bool stop_requested(void);

/* True once per SIGHUP (several while nobody looked count as one). */
bool stop_reload_requested(void);

/*
 * Readable from the moment a signal has come until stop_drain(): put it into every
 * poll(2). -1 before stop_setup().
 */
int stop_fd(void);

/* Makes the descriptor unreadable again. Look at the flags afterwards: a signal that comes in
   between is seen then, or leaves the descriptor readable. */
void stop_drain(void);

#endif

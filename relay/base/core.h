#ifndef BASE_CORE_H
#define BASE_CORE_H

/*
 * A core file holds all of memory: passwords, and messages. So there is none, whatever
 * the limits and the kernel's core_pattern say (a pattern that begins with a pipe does
 * not ask for the limit), and nobody but root can attach to the process, read its memory
 * or its environment. Call it before secrets are read. `run --core-dumps` leaves it out,
 * for debugging.
 */
void core_forbid(void);

#endif

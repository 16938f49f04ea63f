#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* Starts a thread in which no signal is handled: those are for the relay's. -1: there can be none. */
int thread_start(pthread_t *thread, void *(*run)(void *context), void *context);

#endif

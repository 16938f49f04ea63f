#ifndef MONITOR_EXPOSITION_H
#define MONITOR_EXPOSITION_H

#include "base/buffer.h"

/* Pieces of Prometheus' text format, version 0.0.4. */

/* HELP and TYPE; samples follow. */
void exposition_head(struct buffer *out, const char *name, const char *type,
		     const char *help);

/* The same, and its only sample. */
void exposition_number(struct buffer *out, const char *name, const char *type,
		       const char *help, double value);

/* name="value", escaped. */
void exposition_label(struct buffer *out, const char *name, const char *value);

#endif

#ifndef FAKE_CONFIG_H
#define FAKE_CONFIG_H

#include "config/config.h"

/* What the whole relay above fakes runs with: the defaults, but batches so small that it has
   several. */
struct config fake_config(void);

#endif

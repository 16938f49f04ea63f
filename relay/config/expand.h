#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "base/error.h"

/*
 * Puts the environment into a value; the caller frees it.
 *
 *   ${NAME}             the variable; refused when it is not set
 *   ${NAME:-default}    the variable, or the default when it is not set or empty
 *   $${                 a literal ${
 *
 * Any other "$" is itself. What comes out is not expanded again. NULL and ERROR_CONFIG
 * with a text that names the variable, never its value.
 */
char *expand_env(const char *text, struct error *err);

#endif

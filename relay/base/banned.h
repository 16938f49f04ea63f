#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/*
 * Calls that overflow, truncate in silence or share hidden state. The Makefile includes
 * this header in front of every source file, so that using one of them does not compile.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Fortified headers make some of them macros, which cannot be poisoned. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets
#pragma GCC poison strtok atoi atol atoll atof
#pragma GCC poison localtime gmtime ctime asctime

#endif

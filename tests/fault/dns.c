/*
 * Name servers that fail or are slow, for a program that is started with LD_PRELOAD: the file
 * named by DNS_CONTROL says "fail", "slow" (half a minute, as a resolver takes by default), "never"
 * (an hour; a file of that name with ".asked" behind it tells of the question), or nothing. Addresses in digits are always answered.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_control(char *word, size_t size)
{
	const char *path = getenv("DNS_CONTROL");
	FILE *f = path ? fopen(path, "r") : NULL;

	word[0] = '\0';
	if (f && !fgets(word, (int)size, f))
		word[0] = '\0';
	if (f)
		fclose(f);
}

static void tell_of_the_question(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.asked", getenv("DNS_CONTROL"));
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **out)
{
	int (*real)(const char *, const char *, const struct addrinfo *,
		    struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	char word[16];

	if (hints && hints->ai_flags & AI_NUMERICHOST)
		return real(host, port, hints, out);
	read_control(word, sizeof(word));
	if (strncmp(word, "fail", 4) == 0)
		return EAI_AGAIN;
	if (strncmp(word, "slow", 4) == 0) {
		sleep(30);
		return EAI_AGAIN;
	}
	if (strncmp(word, "never", 5) == 0) {
		tell_of_the_question();
		sleep(3600);
		return EAI_AGAIN;
	}
	return real(host, port, hints, out);
}

#ifndef MONITOR_CONSOLE_ASSETS_H
#define MONITOR_CONSOLE_ASSETS_H

/* The files of the console's page, from monitor/console/, embedded by its embed.sh. */
struct console_asset {
	const char *path; /* "/console/console.css" */
	const char *type;
	const char *data; /* text */
};

extern const struct console_asset console_assets[]; /* ends with a path of NULL */

#endif

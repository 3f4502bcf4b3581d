/* SPDX-License-Identifier: GPL-2.0 */
/* lucid info: its two halves, the CPU and the text, and the system around. */
#ifndef LUCID_INFO_H
#define LUCID_INFO_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* A few words for json-c's many. */
void info_add(struct json_object *o, const char *name, const char *text);
const char *info_text(struct json_object *o, const char *name);
bool info_is(struct json_object *o, const char *name);
/* The first line of a file, without its end; false if there is none. */
bool read_line(const char *path, char *line, size_t size);

/* system.c */
struct json_object *collect_device(const char *path);
struct json_object *collect_holders(void);
struct json_object *collect_bugs(void);
struct json_object *collect_advice(struct json_object *cpu,
				   struct json_object *device,
				   struct json_object *holders);

#endif

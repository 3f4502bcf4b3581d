/* SPDX-License-Identifier: GPL-2.0 */
/* --stats: how often a vCPU came out, why, and what that cost. */
#ifndef LUCID_STATS_H
#define LUCID_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define STATS_REASONS	64	/* KVM_EXIT_ numbers; larger ones share the last */

/* What the tool itself sees, for one vCPU. */
struct exit_stats {
	uint64_t count[STATS_REASONS];
	uint64_t ns[STATS_REASONS];	/* spent serving, sleep in HLT not */
	uint64_t run_ns;		/* spent in KVM_RUN */
};

struct machine;
struct vcpu;

/* "io", "mmio", ...; "reason 99" in a static buffer for one without a name */
const char *exit_reason_name(uint32_t reason);
void stats_count(struct exit_stats *stats, uint32_t reason, uint64_t ns);
/* Ask the device to time its exits, if it can. */
void stats_start(struct vcpu *vcpu);
/* All of it, when the machine is over; as a table or as JSON. */
void stats_print(const struct machine *m, FILE *to, bool json);

#endif

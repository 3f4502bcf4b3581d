/* SPDX-License-Identifier: GPL-2.0 */
/* The 8254 timer of a PC, by Intel's data sheet, and its port 0x61. */
#ifndef LUCID_PIT_H
#define LUCID_PIT_H

#include <stdbool.h>
#include <stdint.h>

#define PIT_HZ		1193182ull
#define PIT_IRQ		0

struct pit_channel {
	uint8_t mode;		/* 0 to 5 */
	uint8_t access;		/* 1 low byte, 2 high byte, 3 both in turn */
	bool loaded;		/* a count was written: it runs */
	bool gate;
	bool write_high, read_high;	/* which half is next */
	uint8_t low;		/* the half already written */
	uint32_t reload;	/* 1 to 65536 */
	uint64_t start;		/* ns: when it began to count */
	uint64_t frozen;	/* ns it had counted when its gate fell */
	bool latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct pit {
	struct pit_channel channel[3];
	bool speaker;
};

/* All times in ns of CLOCK_MONOTONIC. */
void pit_init(struct pit *pit);
uint8_t pit_read(struct pit *pit, unsigned int port, uint64_t now);
void pit_write(struct pit *pit, unsigned int port, uint8_t value, uint64_t now);
uint8_t pit_read_61(struct pit *pit, uint64_t now);
void pit_write_61(struct pit *pit, uint8_t value, uint64_t now);

/* Channel 0's output, which is interrupt line 0. */
bool pit_output(const struct pit *pit, unsigned int channel, uint64_t now);
/* When channel 0's output rises next, after @now; 0: never. */
uint64_t pit_next_rise(const struct pit *pit, uint64_t now);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ACPI's fixed hardware, by "ACPI Hardware Specification" of the ACPI
 * specification: the PM1a blocks, the PM timer, and a reset register.
 */
#ifndef LUCID_PM_H
#define LUCID_PM_H

#include <stdbool.h>
#include <stdint.h>

#define PM_BASE		0x600
#define PM_SIZE		0x10
#define PM1_EVT		0x600	/* status, then enable: two bytes each */
#define PM1_CNT		0x604	/* two bytes */
#define PM_TIMER	0x608	/* four bytes */
#define PM_RESET	0x60c	/* PM_RESET_VALUE resets */
#define PM_RESET_VALUE	0x01
#define PM_IRQ		9	/* SCI */
#define PM_SLEEP_OFF	5	/* SLP_TYP of S5 */

struct pm {
	uint16_t enable;
	uint16_t control;
	uint32_t timer;		/* as its first byte's read found it */
};

enum pm_action { PM_NOTHING, PM_OFF, PM_DO_RESET };

void pm_init(struct pm *pm);
/* @now: ns of CLOCK_MONOTONIC */
uint8_t pm_read(struct pm *pm, unsigned int port, uint64_t now);
enum pm_action pm_write(struct pm *pm, unsigned int port, uint8_t value);

#endif

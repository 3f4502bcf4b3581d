// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI's fixed hardware.  Nothing here ever asks for attention: no status bit
 * is set, so the SCI stays low.
 */
#include "pm.h"

#define PM_TIMER_HZ	3579545ull
#define NS		1000000000ull

#define EN_ALL		0x4721		/* the enable bits that there are */
#define CNT_SCI_EN	0x0001		/* ACPI mode: always */
#define CNT_KEPT	0x1c02		/* SLP_TYP, BM_RLD */
#define CNT_SLP_TYP	10		/* its shift */
#define CNT_SLP_EN	0x2000

void pm_init(struct pm *pm)
{
	*pm = (struct pm){ .control = CNT_SCI_EN };
}

uint8_t pm_read(struct pm *pm, unsigned int port, uint64_t now)
{
	switch (port) {
	case PM1_EVT + 2: case PM1_EVT + 3:
		return pm->enable >> 8 * (port & 1);
	case PM1_CNT: case PM1_CNT + 1:
		return pm->control >> 8 * (port & 1);
	case PM_TIMER:
		/* 24 bits; the four bytes of one read belong together */
		pm->timer = (unsigned __int128)now * PM_TIMER_HZ / NS;
		pm->timer &= 0xffffff;
		return pm->timer;
	case PM_TIMER + 1 ... PM_TIMER + 3:
		return pm->timer >> 8 * (port - PM_TIMER);
	default:
		return 0;
	}
}

static void set_byte(uint16_t *word, unsigned int byte, uint8_t value)
{
	*word = byte ? (*word & 0xff) | value << 8 : (*word & 0xff00) | value;
}

enum pm_action pm_write(struct pm *pm, unsigned int port, uint8_t value)
{
	bool sleeps;

	switch (port) {
	case PM1_EVT + 2: case PM1_EVT + 3:
		set_byte(&pm->enable, port & 1, value);
		pm->enable &= EN_ALL;
		return PM_NOTHING;
	case PM1_CNT: case PM1_CNT + 1:
		set_byte(&pm->control, port & 1, value);
		sleeps = pm->control & CNT_SLP_EN;
		/* SLP_EN reads as zero */
		pm->control = (pm->control & CNT_KEPT) | CNT_SCI_EN;
		return sleeps && (pm->control >> CNT_SLP_TYP & 7) ==
				 PM_SLEEP_OFF ? PM_OFF : PM_NOTHING;
	case PM_RESET:
		return value == PM_RESET_VALUE ? PM_DO_RESET : PM_NOTHING;
	default:
		return PM_NOTHING;
	}
}

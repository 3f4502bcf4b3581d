/* SPDX-License-Identifier: GPL-2.0 */
/* A PC's clock and CMOS memory, by Motorola's data sheet of the MC146818. */
#ifndef LUCID_RTC_H
#define LUCID_RTC_H

#include <stdint.h>

#define RTC_INDEX	0x70
#define RTC_DATA	0x71
#define RTC_CENTURY	0x32	/* where the century is; the FADT says so too */

struct rtc {
	uint8_t index;
	uint8_t cmos[128];	/* what is stored; the time is computed */
	int64_t offset;		/* ns: the guest's clock less the host's (UTC) */
	int64_t stopped;	/* ns: the guest's time when it set SET in B */
};

/* @mem_low, @mem_high: bytes of RAM below and above 4 GiB */
void rtc_init(struct rtc *rtc, uint64_t mem_low, uint64_t mem_high);
/* @now: ns since 1970, the host's */
uint8_t rtc_read(struct rtc *rtc, unsigned int port, int64_t now);
void rtc_write(struct rtc *rtc, unsigned int port, uint8_t value, int64_t now);

#endif

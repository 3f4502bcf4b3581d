// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 clock: nothing ticks, the time is the host's, in UTC, plus what
 * the guest has set it to.  It makes no interrupts.
 */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "lucid.h"
#include "rtc.h"

#define NS		1000000000ll
#define UPDATE_NS	2228000		/* UIP is high so long before a second */

enum {
	SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY = 7, MONTH = 8,
	YEAR = 9, REG_A, REG_B, REG_C, REG_D,
};

#define A_DEFAULT	0x26	/* the divider for 32.768 kHz, 1024 Hz */
#define A_UIP		0x80
#define A_STOPPED	0x60	/* both: the divider is held in reset */
#define B_SET		0x80	/* no updates */
#define B_BINARY	0x04
#define B_24H		0x02
#define D_VALID		0x80	/* the battery is good */
#define HOUR_PM		0x80

static void put16(uint8_t *at, uint64_t value)
{
	if (value > 0xffff)
		value = 0xffff;
	at[0] = value;
	at[1] = value >> 8;
}

void rtc_init(struct rtc *rtc, uint64_t mem_low, uint64_t mem_high)
{
	uint64_t extended = mem_low > MIB ? (mem_low - MIB) / KIB : 0;
	uint64_t above_16m = mem_low > 16 * MIB ?
			     (mem_low - 16 * MIB) / (64 * KIB) : 0;

	memset(rtc, 0, sizeof(*rtc));
	rtc->cmos[REG_A] = A_DEFAULT;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
	/* sizes, as BIOSes leave them: KiB, KiB twice, 64 KiB, 64 KiB */
	put16(&rtc->cmos[0x15], 640);
	put16(&rtc->cmos[0x17], extended);
	put16(&rtc->cmos[0x30], extended);
	put16(&rtc->cmos[0x34], above_16m);
	mem_high /= 64 * KIB;
	put16(&rtc->cmos[0x5b], mem_high & 0xffff);
	rtc->cmos[0x5d] = mem_high >> 16;
}

static bool stopped(const struct rtc *rtc)
{
	return (rtc->cmos[REG_B] & B_SET) ||
	       (rtc->cmos[REG_A] & A_STOPPED) == A_STOPPED;
}

static int64_t guest_time(const struct rtc *rtc, int64_t now)
{
	return stopped(rtc) ? rtc->stopped : now + rtc->offset;
}

static uint8_t encode(const struct rtc *rtc, unsigned int value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value :
	       value / 10 << 4 | value % 10;
}

static unsigned int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value :
	       (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned int hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) |
	       (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static struct tm broken_down(int64_t time_ns)
{
	/* rounded down also before 1970 */
	time_t t = time_ns / NS - (time_ns % NS < 0);
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	return tm;
}

/* One field of the time; -1 if @reg is none. */
static int time_field(const struct rtc *rtc, unsigned int reg, int64_t now)
{
	struct tm tm = broken_down(guest_time(rtc, now));

	switch (reg) {
	case SECONDS:
		return encode(rtc, tm.tm_sec);
	case MINUTES:
		return encode(rtc, tm.tm_min);
	case HOURS:
		return encode_hour(rtc, tm.tm_hour);
	case WEEKDAY:
		return encode(rtc, tm.tm_wday + 1);
	case DAY:
		return encode(rtc, tm.tm_mday);
	case MONTH:
		return encode(rtc, tm.tm_mon + 1);
	case YEAR:
		return encode(rtc, tm.tm_year % 100);
	case RTC_CENTURY:
		return encode(rtc, tm.tm_year / 100 + 19);
	default:
		return -1;
	}
}

static void set_time_field(struct rtc *rtc, unsigned int reg, uint8_t value,
			   int64_t now)
{
	int64_t old = guest_time(rtc, now), new;
	struct tm tm = broken_down(old);
	unsigned int number = decode(rtc, value);

	switch (reg) {
	case SECONDS:
		tm.tm_sec = number;
		break;
	case MINUTES:
		tm.tm_min = number;
		break;
	case HOURS:
		tm.tm_hour = decode_hour(rtc, value);
		break;
	case DAY:
		tm.tm_mday = number;
		break;
	case MONTH:
		tm.tm_mon = (int)number - 1;
		break;
	case YEAR:
		tm.tm_year = tm.tm_year / 100 * 100 + number;
		break;
	case RTC_CENTURY:
		tm.tm_year = ((int)number - 19) * 100 + tm.tm_year % 100;
		break;
	default:	/* the day of the week follows from the others */
		return;
	}
	/* 30 February, for a moment between two writes, is 1 or 2 March */
	new = (int64_t)timegm(&tm) * NS + (old % NS + NS) % NS;
	if (stopped(rtc))
		rtc->stopped = new;
	else
		rtc->offset = new - now;
}

uint8_t rtc_read(struct rtc *rtc, unsigned int port, int64_t now)
{
	int64_t part;
	int field;

	if (port == RTC_INDEX)
		return 0xff;	/* write-only, as on a PC */
	switch (rtc->index) {
	case REG_A:
		part = (guest_time(rtc, now) % NS + NS) % NS;
		return rtc->cmos[REG_A] |
		       (!stopped(rtc) && part >= NS - UPDATE_NS ? A_UIP : 0);
	case REG_C:
		return 0;
	default:
		field = time_field(rtc, rtc->index, now);
		return field >= 0 ? field : rtc->cmos[rtc->index];
	}
}

void rtc_write(struct rtc *rtc, unsigned int port, uint8_t value, int64_t now)
{
	bool was = stopped(rtc);
	int64_t time = guest_time(rtc, now);

	if (port == RTC_INDEX) {
		rtc->index = value & 0x7f;	/* bit 7 masks NMIs */
		return;
	}
	switch (rtc->index) {
	case REG_A:
		rtc->cmos[REG_A] = value & ~A_UIP;
		break;
	case REG_B:
		rtc->cmos[REG_B] = value;
		break;
	case REG_C: case REG_D:
		return;
	default:
		if (time_field(rtc, rtc->index, now) >= 0)
			set_time_field(rtc, rtc->index, value, now);
		else
			rtc->cmos[rtc->index] = value;
		return;
	}
	if (!was && stopped(rtc))
		rtc->stopped = time;
	else if (was && !stopped(rtc))
		rtc->offset = rtc->stopped - now;
}

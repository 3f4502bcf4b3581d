// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 (kmod/irq/pit.c): what the data sheet says, then random programs
 * whose times are worked out here with 128 bits.
 */
#include <string.h>

#include "pit.h"
#include "tap.h"

typedef unsigned __int128 u128;

#define NEVER	(~0ull)
#define SEC	1000000000ull

static struct lucid_pit pit;

/* So many whole ticks have passed after @ns. */
static u64 ticks_of(u64 ns)
{
	return (u128)ns * LUCID_PIT_HZ / SEC;
}

/* The first ns at which @ticks have passed. */
static u64 ns_of(u64 ticks)
{
	return ((u128)ticks * SEC + LUCID_PIT_HZ - 1) / LUCID_PIT_HZ;
}

static void program(struct lucid_pit *p, unsigned int channel, unsigned int mode, u32 count, u64 now)
{
	lucid_pit_write(p, 0x43, channel << 6 | 0x30 | mode << 1, now);
	lucid_pit_write(p, 0x40 + channel, count, now);
	lucid_pit_write(p, 0x40 + channel, count >> 8, now);
}

static u16 read_word(unsigned int channel, u64 now)
{
	u16 low = lucid_pit_read(&pit, 0x40 + channel, now);

	return low | lucid_pit_read(&pit, 0x40 + channel, now) << 8;
}

static u16 latched(unsigned int channel, u64 now, u64 later)
{
	lucid_pit_write(&pit, 0x43, channel << 6, now);
	return read_word(channel, later);
}

static u8 status(unsigned int channel, u64 now)
{
	lucid_pit_write(&pit, 0x43, 0xe0 | 2 << channel, now);
	return lucid_pit_read(&pit, 0x40 + channel, now);
}

static bool out(unsigned int channel, u64 now)
{
	return status(channel, now) & 0x80;
}

static void test_registers(void)
{
	u64 t = 12345, ms = 1000000;
	struct kvm_pit_state2 s;
	u32 port, n = 0;

	for (port = 0; port < 0x10000; port++)
		n += lucid_pit_has_port(port);
	tap_ok(n == 5 && lucid_pit_has_port(0x40) && lucid_pit_has_port(0x43) && lucid_pit_has_port(0x61),
	       "five ports");

	lucid_pit_reset(&pit, t);
	lucid_pit_get(&pit, &s, t);
	tap_ok(s.channels[0].mode == 0xff && s.channels[0].count == 65536 && s.channels[0].gate &&
	       s.channels[1].gate && !s.channels[2].gate && !s.flags, "power-up, as KVM's image has it");
	tap_ok(lucid_pit_next(&pit) == NEVER && !lucid_pit_advance(&pit, t + 1000 * ms),
	       "nothing comes of a timer that is not programmed");

	program(&pit, 2, 0, 0x1234, t);
	tap_ok(read_word(2, t) == 0x1234 && read_word(2, t + ns_of(0x34)) == 0x1200, "it counts down");
	tap_ok(latched(2, t + ns_of(1), t + 5 * ms) == 0x1233, "a latched count stays");
	lucid_pit_write(&pit, 0x43, 0x80, t + ns_of(1));
	lucid_pit_write(&pit, 0x43, 0x80, t + ns_of(9));
	tap_ok(read_word(2, t + ms) == 0x1233, "and is not latched anew before it is read");
	lucid_pit_write(&pit, 0x43, 0x80, t + ns_of(2));
	lucid_pit_write(&pit, 0x43, 0xe8, t + ns_of(2));
	tap_ok(lucid_pit_read(&pit, 0x42, t) == 0x30 && read_word(2, t + ms) == 0x1232,
	       "status comes before the count");
	lucid_pit_write(&pit, 0x43, 0xc8, t + ns_of(3));
	tap_ok(lucid_pit_read(&pit, 0x42, t) == 0x30 && read_word(2, t + ms) == 0x1231,
	       "read-back latches both");
	lucid_pit_write(&pit, 0x43, 0xde, t + ns_of(5));
	tap_ok(read_word(2, t + ns_of(7)) == 0x122f && read_word(2, t + ns_of(7)) == 0x122d,
	       "or the count alone, of all channels");

	lucid_pit_write(&pit, 0x43, 0x90, t);
	lucid_pit_write(&pit, 0x42, 0x99, t);
	tap_ok(lucid_pit_read(&pit, 0x42, t) == 0x99 && lucid_pit_read(&pit, 0x42, t + ns_of(1)) == 0x98,
	       "low byte only");
	lucid_pit_write(&pit, 0x43, 0xa0, t);
	lucid_pit_write(&pit, 0x42, 0x99, t);
	tap_ok(lucid_pit_read(&pit, 0x42, t) == 0x99 && lucid_pit_read(&pit, 0x42, t + ns_of(1)) == 0x98,
	       "high byte only");
	lucid_pit_write(&pit, 0x43, 0xbf, t);
	tap_ok(status(2, t) == (0x80 | 0x40 | 0x30 | 3 << 1 | 1), "mode 7 is 3; BCD; null count; OUT is high");
	lucid_pit_write(&pit, 0x42, 0, t);
	tap_ok(status(2, t) & 0x40, "half a count is none");
	lucid_pit_write(&pit, 0x42, 0, t);
	tap_ok(!(status(2, t) & 0x40) && read_word(2, t) == 0 && read_word(2, t + ns_of(1)) == 0xfffe,
	       "count 0 is 65536, mode 3 goes by two");
	tap_ok(lucid_pit_read(&pit, 0x43, t) == 0, "the control word is not readable");
}

static void test_modes(void)
{
	u64 t = 777, n = 1000, i, good = 0;

	lucid_pit_reset(&pit, t);
	lucid_pit_write(&pit, 0x61, 1, t);

	lucid_pit_write(&pit, 0x43, 0xb0, t);
	tap_ok(!out(2, t + SEC), "mode 0: low from the control word on");
	program(&pit, 2, 0, n, t);
	tap_ok(!out(2, t) && !out(2, t + ns_of(n) - 1) && out(2, t + ns_of(n)) && out(2, t + SEC),
	       "mode 0: low till the count is done, then high");
	tap_ok(read_word(2, t + ns_of(n + 1)) == 0xffff, "mode 0: it counts on below 0");

	program(&pit, 2, 1, n, t);
	tap_ok(out(2, t) && out(2, t + SEC), "mode 1: waits for the gate, high");
	lucid_pit_write(&pit, 0x61, 0, t);
	lucid_pit_write(&pit, 0x61, 1, t + SEC);
	tap_ok(!out(2, t + SEC) && !out(2, t + SEC + ns_of(n) - 1) && out(2, t + SEC + ns_of(n)),
	       "mode 1: low for the count after the gate rose");
	lucid_pit_write(&pit, 0x61, 1, t + SEC + ns_of(n / 2));
	tap_ok(out(2, t + SEC + ns_of(n)), "mode 1: a gate that stays high is no trigger");

	program(&pit, 2, 2, n, t);
	for (i = 0; i < 5 * n; i++)
		good += out(2, t + ns_of(i)) == (i % n != n - 1) &&
			read_word(2, t + ns_of(i)) == n - i % n;
	tap_ok(good == 5 * n, "mode 2: low for the last tick of each period");

	program(&pit, 2, 3, n, t);
	for (good = 0, i = 0; i < 5 * n; i++)
		good += out(2, t + ns_of(i)) == (i % n < n / 2) &&
			read_word(2, t + ns_of(i)) == n - 2 * i % n;
	tap_ok(good == 5 * n, "mode 3: a square wave");
	program(&pit, 2, 3, 5, t);
	for (good = 0, i = 0; i < 50; i++)
		good += out(2, t + ns_of(i)) == (i % 5 < 3);
	tap_ok(good == 50, "mode 3: an odd count is high one tick longer");
	lucid_pit_write(&pit, 0x61, 0, t + ns_of(2));
	lucid_pit_write(&pit, 0x61, 1, t + ns_of(4));
	tap_ok(out(2, t + ns_of(6)) && !out(2, t + ns_of(8)), "mode 3: the gate starts a period");

	program(&pit, 2, 4, n, t);
	tap_ok(out(2, t) && !out(2, t + ns_of(n)) && out(2, t + ns_of(n + 1)), "mode 4: a strobe");
	program(&pit, 2, 5, n, t);
	tap_ok(out(2, t + ns_of(n)), "mode 5: none without the gate");
	lucid_pit_write(&pit, 0x61, 0, t);
	lucid_pit_write(&pit, 0x61, 1, t);
	tap_ok(out(2, t) && !out(2, t + ns_of(n)) && out(2, t + ns_of(n + 1)), "mode 5: then a strobe");
}

static void test_port61(void)
{
	u64 t = 1ull << 20, toggles = 0, i;

	lucid_pit_reset(&pit, t);
	tap_ok((lucid_pit_read(&pit, 0x61, t) & ~0x10) == 0, "port 0x61: all off");
	lucid_pit_write(&pit, 0x61, 0xff, t);
	tap_ok((lucid_pit_read(&pit, 0x61, t) & ~0x10) == 3, "port 0x61: gate and speaker");
	program(&pit, 2, 0, 100, t);
	tap_ok(!(lucid_pit_read(&pit, 0x61, t + ns_of(99)) & 0x20) &&
	       (lucid_pit_read(&pit, 0x61, t + ns_of(100)) & 0x20), "port 0x61: OUT2, as a calibration polls it");
	for (i = 0; i < 1000; i++)
		toggles += (lucid_pit_read(&pit, 0x61, t + i * 1000) ^
			    lucid_pit_read(&pit, 0x61, t + (i + 1) * 1000)) >> 4 & 1;
	tap_ok(toggles > 55 && toggles < 70, "port 0x61: the refresh bit toggles each 15 us (%llu in 1 ms)",
	       (unsigned long long)toggles);
}

static void test_edges(void)
{
	u64 t = 5, i, early = 0, n = 0;
	struct kvm_pit_state2 s;

	lucid_pit_reset(&pit, t);
	program(&pit, 0, 2, 11932, t);
	for (i = 1; i <= 100000; i++) {
		u64 next = lucid_pit_next(&pit);

		early += next != t + ns_of(i * 11932) || lucid_pit_advance(&pit, next - 1);
		n += lucid_pit_advance(&pit, next);
	}
	tap_ok(!early && n == 100000, "100 Hz: 100000 edges, none early, no drift");
	n = lucid_pit_advance(&pit, t + ns_of(200000ull * 11932));
	tap_ok(n == 100000, "a caller who is late gets them all (%llu)", (unsigned long long)n);

	program(&pit, 0, 0, 0, t);
	tap_ok(lucid_pit_next(&pit) == t + ns_of(65536) && lucid_pit_advance(&pit, t + SEC) == 1 &&
	       !lucid_pit_advance(&pit, t + 2 * SEC) && lucid_pit_next(&pit) == NEVER,
	       "mode 0: once");
	program(&pit, 0, 4, 100, t);
	tap_ok(lucid_pit_next(&pit) == t + ns_of(100) && lucid_pit_advance(&pit, t + SEC) == 1 &&
	       lucid_pit_next(&pit) == NEVER, "mode 4: once");
	program(&pit, 0, 2, 2, t);
	tap_ok(lucid_pit_next(&pit) == t + LUCID_PIT_MIN_PERIOD &&
	       lucid_pit_advance(&pit, t + SEC) == SEC / LUCID_PIT_MIN_PERIOD,
	       "a period of 2 ticks is stretched");
	tap_ok(read_word(0, t + ns_of(3)) == 1, "but what is read of it is not");
	program(&pit, 0, 2, 1000, t);
	lucid_pit_write(&pit, 0x43, 0x30, t);
	tap_ok(lucid_pit_next(&pit) == NEVER, "a control word stops it");
	lucid_pit_write(&pit, 0x40, 0, t);
	tap_ok(lucid_pit_next(&pit) == NEVER, "and half a count does not start it");

	program(&pit, 0, 2, 1000, t);
	lucid_pit_get(&pit, &s, t);
	s.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	lucid_pit_set(&pit, &s, t);
	program(&pit, 0, 2, 1000, t);
	lucid_pit_get(&pit, &s, t);
	tap_ok(lucid_pit_next(&pit) == NEVER && (s.flags & KVM_PIT_FLAGS_HPET_LEGACY),
	       "HPET legacy mode: nothing from here");
	s.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	lucid_pit_set(&pit, &s, t + 7);
	tap_ok(lucid_pit_next(&pit) == t + 7 + ns_of(1000) && (lucid_pit_read(&pit, 0x61, t) & 2),
	       "and again after it; the speaker's bit is in the flags");
}

/* ---- random programs ---------------------------------------------------------- */

static u64 violations, programs, edges, reads;

static void violation(const char *what)
{
	if (violations++ < 5)
		tap_diag("program %llu: %s", (unsigned long long)programs, what);
}

/* Times near and far, up to centuries. */
static u64 random_span(void)
{
	return rnd() >> (8 + rnd_below(50));
}

static void random_edges(u64 n)
{
	u64 t, now, total, elapsed, expected, last;
	unsigned int mode, i;
	u32 count;

	for (programs = 0; programs < n; programs++) {
		static const u8 modes[] = { 0, 2, 3, 4 };

		t = random_span();
		mode = modes[rnd_below(4)];
		count = rnd() & (rnd() & 1 ? 0xffff : 0x3ff);
		lucid_pit_reset(&pit, t);
		program(&pit, 0, mode, count, t);
		if (!count)
			count = 65536;
		for (now = t, total = 0, i = 0; i < 12; i++) {
			bool periodic = mode == 2 || mode == 3;

			last = lucid_pit_next(&pit);
			if (last != NEVER && last <= now)
				violation("next is not in the future");
			/* Just before it, at it, or anywhere. */
			if (last != NEVER && (rnd() & 1))
				now = last - (rnd() & 1);
			else
				now += random_span() >> 5;
			total += lucid_pit_advance(&pit, now);
			elapsed = now - t;
			if (periodic && ns_of(count) < LUCID_PIT_MIN_PERIOD)
				expected = elapsed / LUCID_PIT_MIN_PERIOD;
			else
				expected = ticks_of(elapsed) / count;
			if (!periodic && expected > 1)
				expected = 1;
			if (expected > 0xffffffff)
				break;	/* more than one call can tell */
			if (total != expected)
				violation("edges: too many, too few or too early");
			edges += total;
			if (!rnd_below(4)) {
				u64 d = ticks_of(elapsed);
				u16 c = mode == 2 ? count - d % count :
					mode == 3 ? count - 2 * d % count : count - d;

				reads++;
				if (latched(0, now, now + random_span()) != c)
					violation("the counter");
			}
		}
	}
	tap_ok(!violations, "%llu random programs of channel 0: %llu edges, none lost, early or twice; %llu reads",
	       (unsigned long long)n, (unsigned long long)edges, (unsigned long long)reads);
}

static void random_access(struct lucid_pit *a, struct lucid_pit *b, u64 now)
{
	u16 port = rnd_below(8) ? 0x40 + rnd_below(4) : 0x61;
	u8 value = rnd();

	if (rnd() & 1) {
		if (lucid_pit_read(a, port, now) != lucid_pit_read(b, port, now))
			violation("the twin reads otherwise");
		return;
	}
	/* Latches more often than new control words. */
	if (port == 0x43 && rnd_below(4))
		value = rnd() & 1 ? value & 0xc0 : value | 0xc0;
	lucid_pit_write(a, port, value, now);
	lucid_pit_write(b, port, value, now);
}

/*
 * Anything, on two: one is put back from the other's image when all has just
 * been loaded (KVM's images say no times), and nothing tells them apart.
 */
static void random_twins(u64 n)
{
	struct kvm_pit_state2 s, again;
	struct lucid_pit twin;
	unsigned int i;
	u64 now;

	for (programs = 0; programs < n; programs++) {
		static const u8 modes[] = { 0, 2, 3, 4 };

		now = random_span();
		lucid_pit_reset(&pit, now);
		for (i = 0; i < 3; i++)
			program(&pit, i, modes[rnd_below(4)], rnd(), now);
		lucid_pit_write(&pit, 0x61, rnd(), now);
		for (i = 0; i < 8; i++) {
			/* Latched, half read, half written. */
			switch (rnd_below(3)) {
			case 0:
				lucid_pit_write(&pit, 0x43, rnd() & 1 ? rnd() & 0xc0 : rnd() | 0xc0, now);
				break;
			case 1:
				lucid_pit_read(&pit, 0x40 + rnd_below(3), now);
				break;
			}
		}
		if (rnd() & 1)
			lucid_pit_write(&pit, 0x41, rnd(), now);
		lucid_pit_get(&pit, &s, now);
		memset(&twin, 0, sizeof(twin));
		lucid_pit_set(&twin, &s, now);
		lucid_pit_get(&twin, &again, now);
		if (memcmp(&s, &again, sizeof(s)))
			violation("the image of what an image made");
		for (i = 0; i < 40; i++) {
			now += random_span() >> 20;
			random_access(&pit, &twin, now);
			if (lucid_pit_next(&pit) != lucid_pit_next(&twin))
				violation("the twin's next edge");
			if (!rnd_below(4) && lucid_pit_advance(&pit, now) != lucid_pit_advance(&twin, now))
				violation("the twin's edges");
		}
	}
	tap_ok(!violations, "%llu random programs and restores: the twin does the same",
	       (unsigned long long)n);

	for (programs = 0; programs < n; programs++) {
		for (i = 0; i < sizeof(s); i++)
			((u8 *)&s)[i] = rnd();
		now = rnd();
		lucid_pit_set(&pit, &s, now);
		lucid_pit_set(&twin, &s, now);
		for (i = 0; i < 20; i++) {
			random_access(&pit, &twin, now);
			now = rnd_below(4) ? now + random_span() : rnd();
			if (lucid_pit_advance(&pit, now) != lucid_pit_advance(&twin, now))
				violation("the twin's edges");
		}
		lucid_pit_get(&pit, &s, now);
		for (i = 0; i < 3; i++)
			if (s.channels[i].count < 1 || s.channels[i].count > 65536)
				violation("a hostile image");
		if (s.flags & ~3)
			violation("flags that are none");
	}
	tap_ok(!violations, "any image and any time is safe");
}

int main(void)
{
	rnd_seed(5);
	test_registers();
	test_modes();
	test_port61();
	test_edges();
	random_edges(300000);
	random_twins(60000);
	return tap_done();
}

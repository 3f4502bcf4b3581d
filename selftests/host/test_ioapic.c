// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O APIC (kmod/irq/ioapic.c): what the data sheet says, then random
 * programs against the local APICs of this test, which take, coalesce or miss
 * what is sent.  In random programs the destination of an entry is its pin, so
 * that each message says where it comes from.
 */
#include <string.h>

#include "ioapic.h"
#include "tap.h"

#define PINS	LUCID_IOAPIC_PINS
#define STATUS	(1u << 12)
#define REMOTE	(1u << 14)
#define LEVEL	(1u << 15)
#define MASKED	(1u << 16)

static struct lucid_ioapic io, twin;

static struct {
	unsigned int count;
	struct lucid_irq_msg msg[2 * PINS];
} sent, twin_sent;

/* What the local APICs are to answer for each pin. */
static int answer[256];

int lucid_ioapic_send(struct lucid_ioapic *from, const struct lucid_irq_msg *msg)
{
	if (from == &twin) {
		if (twin_sent.count < 2 * PINS)
			twin_sent.msg[twin_sent.count++] = *msg;
	} else if (sent.count < 2 * PINS) {
		sent.msg[sent.count++] = *msg;
	}
	return answer[msg->dest & 0xff];
}

static u32 get(u8 reg)
{
	lucid_ioapic_write(&io, 0, reg);
	return lucid_ioapic_read(&io, 0x10);
}

static void put(u8 reg, u32 value)
{
	lucid_ioapic_write(&io, 0, reg);
	lucid_ioapic_write(&io, 0x10, value);
}

/* An entry; its message goes to @pin. */
static void entry(unsigned int pin, u32 low)
{
	put(0x11 + 2 * pin, pin << 24);
	put(0x10 + 2 * pin, low);
}

static void fresh(void)
{
	int i;

	lucid_ioapic_reset(&io);
	sent.count = 0;
	for (i = 0; i < 256; i++)
		answer[i] = 1;
}

static bool last_is(unsigned int count, u8 vector, u8 mode, bool level)
{
	const struct lucid_irq_msg *m = &sent.msg[count - 1];

	return sent.count == count && m->vector == vector && m->mode == mode && m->level == level;
}

static void test_registers(void)
{
	unsigned int reg, good = 0;

	fresh();
	tap_ok(get(1) == 0x00170011, "version 0x11, 24 pins");
	put(1, ~0u);
	put(2, ~0u);
	tap_ok(get(1) == 0x00170011 && get(0) == 0 && get(2) == 0,
	       "version and arbitration id are read-only");
	put(0, ~0u);
	tap_ok(get(0) == 0x0f000000 && get(2) == 0x0f000000, "four bits of id, the arbitration id follows");
	lucid_ioapic_write(&io, 0, 0x12345610);
	tap_ok(lucid_ioapic_read(&io, 0) == 0x10, "IOREGSEL has eight bits");
	tap_ok(lucid_ioapic_read(&io, 0x20) == 0 && lucid_ioapic_read(&io, 0x40) == 0,
	       "the rest of the page reads 0");
	for (reg = 3; reg < 256; reg++) {
		bool exists = reg >= 0x10 && reg < 0x40;
		u32 power_up = reg & 1 ? 0 : MASKED;

		put(exists ? 3 : reg, 0x12345678);
		good += get(reg) == (exists ? power_up : ~0u);
	}
	tap_ok(good == 253, "entries are masked at power-up; registers that are none read ~0");
	put(0x10, ~0u);
	put(0x11, ~0u);
	tap_ok(get(0x10) == (~0u & ~(STATUS | REMOTE)) && get(0x11) == ~0u,
	       "delivery status and remote IRR are read-only");
}

static void test_edge(void)
{
	fresh();
	entry(4, 0x31);
	tap_ok(lucid_ioapic_set_line(&io, 4, true) == 1 && last_is(1, 0x31, LUCID_IRQ_FIXED, false),
	       "an edge is sent");
	tap_ok(lucid_ioapic_set_line(&io, 4, true) == 0 && sent.count == 1,
	       "a line that is up already is none");
	entry(4, 0x931);
	lucid_ioapic_eoi(&io, 0x31);
	tap_ok(sent.count == 1, "nor is it sent again by a write or an EOI");
	lucid_ioapic_set_line(&io, 4, false);
	lucid_ioapic_set_line(&io, 4, true);
	tap_ok(sent.count == 2 && sent.msg[1].logical, "the next edge is, as the entry says now");

	fresh();
	entry(4, MASKED | 0x31);
	tap_ok(lucid_ioapic_set_line(&io, 4, true) == -1, "masked: -1");
	entry(4, 0x31);
	tap_ok(!sent.count, "an edge that came in the mask is lost");
	tap_ok(lucid_ioapic_set_line(&io, 24, true) == -1 && lucid_ioapic_set_line(&io, ~0u, true) == -1,
	       "there are 24 pins");

	fresh();
	entry(3, LEVEL | LUCID_IRQ_NMI << 8);
	lucid_ioapic_set_line(&io, 3, true);
	tap_ok(last_is(1, 0, LUCID_IRQ_NMI, false) && !(get(0x16) & REMOTE) &&
	       !lucid_ioapic_wants_eoi(&io, 0), "an NMI is an edge whatever the entry says");
}

static void test_level(void)
{
	int i;

	fresh();
	entry(10, LEVEL | 0x51);
	tap_ok(lucid_ioapic_set_line(&io, 10, true) == 1 && last_is(1, 0x51, LUCID_IRQ_FIXED, true) &&
	       (get(0x24) & REMOTE), "a level is sent, remote IRR is set");
	tap_ok(lucid_ioapic_set_line(&io, 10, true) == -1 && sent.count == 1, "and not again before its EOI");
	tap_ok(lucid_ioapic_wants_eoi(&io, 0x51) && !lucid_ioapic_wants_eoi(&io, 0x52),
	       "whose vector is wanted");
	lucid_ioapic_eoi(&io, 0x52);
	tap_ok(sent.count == 1, "another vector's EOI is nothing to it");
	for (i = 0; i < 1000; i++) {
		sent.count = 0;
		lucid_ioapic_eoi(&io, 0x51);
		if (sent.count != 1)
			break;
	}
	tap_ok(i == 1000, "an EOI for ever: one message each");
	entry(10, LEVEL | MASKED | 0x51);
	sent.count = 0;
	tap_ok(lucid_ioapic_wants_eoi(&io, 0x51), "also if it is masked meanwhile");
	lucid_ioapic_eoi(&io, 0x51);
	tap_ok(!sent.count && !(get(0x24) & REMOTE), "then the EOI clears remote IRR, and nothing is sent");
	entry(10, LEVEL | 0x51);
	tap_ok(sent.count == 1, "until the mask goes");
	entry(10, MASKED | 0x51);
	entry(10, LEVEL | 0x51);
	tap_ok(sent.count == 2 && (get(0x24) & REMOTE), "edge and back is an EOI, for systems that need one");
	lucid_ioapic_set_line(&io, 10, false);
	lucid_ioapic_eoi(&io, 0x51);
	tap_ok(sent.count == 2 && !(get(0x24) & REMOTE), "a line that is down is not sent again");

	fresh();
	entry(10, LEVEL | 0x51);
	entry(11, LEVEL | 0x51);
	lucid_ioapic_set_line(&io, 10, true);
	answer[11] = 0;
	lucid_ioapic_set_line(&io, 11, true);
	tap_ok(!(get(0x26) & REMOTE), "coalesced with another pin's: its EOI is not awaited");
	answer[11] = 1;
	lucid_ioapic_set_line(&io, 10, false);
	lucid_ioapic_eoi(&io, 0x51);
	tap_ok(sent.count == 3 && sent.msg[2].dest == 11, "but it brings this one's turn");

	fresh();
	entry(12, LEVEL | 0x61);
	answer[12] = -1;
	tap_ok(lucid_ioapic_set_line(&io, 12, true) == -1 && !(get(0x28) & REMOTE),
	       "nobody there: -1, nobody has accepted it");
	answer[12] = 1;
	put(0x28, LEVEL | 0x62);
	tap_ok(last_is(2, 0x62, LUCID_IRQ_FIXED, true), "it is sent when the entry is set right");
}

static void test_image(void)
{
	struct kvm_ioapic_state s;

	fresh();
	entry(1, LEVEL | 0x41);
	entry(2, 0x42);
	entry(3, MASKED | 0x43);
	entry(4, LEVEL | MASKED | 0x44);
	lucid_ioapic_set_line(&io, 1, true);
	lucid_ioapic_set_line(&io, 2, true);
	lucid_ioapic_set_line(&io, 3, true);
	lucid_ioapic_set_line(&io, 4, true);
	put(0, 0x05000000);
	lucid_ioapic_get(&io, &s);
	tap_ok(s.base_address == 0xfec00000 && s.id == 5 && s.ioregsel == 0 && s.pad == 0,
	       "the image: base, id, IOREGSEL");
	tap_ok(s.irr == (1 << 1 | 1 << 3 | 1 << 4), "its IRR: lines that are up, without sent edges");
	tap_ok(s.redirtbl[1].fields.remote_irr && s.redirtbl[1].fields.vector == 0x41, "its entries");
	entry(3, 0x43);
	lucid_ioapic_get(&io, &s);
	tap_ok(s.irr == (1 << 1 | 1 << 4), "nor edges that the mask has lost");
	s.redirtbl[1].fields.remote_irr = 0;
	s.irr |= 1 << 2;
	sent.count = 0;
	lucid_ioapic_set(&io, &s);
	tap_ok(sent.count == 2 && sent.msg[0].vector == 0x41 && sent.msg[1].vector == 0x42,
	       "as in KVM its IRR is sent, if it can be");
}

static void test_msi(void)
{
	struct lucid_irq_msg m;
	u32 data, wrong = 0;
	unsigned int hint, logical;

	for (data = 0; data < 0x10000; data++) {
		for (hint = 0; hint < 2; hint++) {
			for (logical = 0; logical < 2; logical++) {
				u8 mode = (data >> 8) & 7;

				lucid_msi_to_msg(0xfee00000 | (data & 0xff) << 12 | hint << 3 | logical << 2,
						 data, &m);
				wrong += m.dest != (data & 0xff) || m.logical != logical || m.x2apic ||
					 !m.assert || m.vector != (data & 0xff) ||
					 m.level != (mode < 2 && (data & 0x8000)) ||
					 m.mode != (mode == 0 && hint ? LUCID_IRQ_LOWEST : mode);
			}
		}
	}
	tap_ok(!wrong, "MSI: destination, hint, vector, mode and trigger in their places");
	lucid_msi_to_msg(0x12345600fee78000ull, 0x31, &m);
	tap_ok(m.dest == 0x12345678 && m.x2apic, "MSI: 32 bits of destination");
}

/* ---- random programs ---------------------------------------------------------- */

static u64 violations, steps, sends, resends, coalesced, restores;

/* Lines as they stand; of a pin that may have been missed, what was answered last. */
static bool up[PINS];
static int last_answer[PINS];

static void violation(const char *what, unsigned int pin)
{
	if (violations++ < 5)
		tap_diag("step %llu, pin %u: %s", (unsigned long long)steps, pin, what);
}

static bool is_level(u64 e)
{
	return (e & LEVEL) && (e >> 8 & 7) < 2;
}

/*
 * One step is over: @may says of which pins a message is allowed, @must of
 * which it has to be there.
 */
static void check(const struct kvm_ioapic_state *was, u32 may, u32 must)
{
	struct kvm_ioapic_state now;
	u32 seen = 0;
	unsigned int i;

	lucid_ioapic_get(&io, &now);
	for (i = 0; i < sent.count; i++) {
		const struct lucid_irq_msg *m = &sent.msg[i];
		unsigned int pin = m->dest;
		u64 e;

		if (pin >= PINS) {
			violation("a destination that is nobody's", pin);
			continue;
		}
		e = now.redirtbl[pin].bits;
		if (!(may >> pin & 1))
			violation("a message that nothing called for", pin);
		if (seen >> pin & 1)
			violation("two messages of one event", pin);
		seen |= 1u << pin;
		if ((e & MASKED) || !up[pin])
			violation("a message of one that is masked, or down", pin);
		if (m->vector != (e & 0xff) || m->mode != (e >> 8 & 7) || m->level != is_level(e) ||
		    m->logical != (e >> 11 & 1) || !m->assert || m->x2apic)
			violation("not what the entry says", pin);
		if (m->level && answer[pin] > 0 && !(e & REMOTE))
			violation("accepted, and remote IRR is clear", pin);
		last_answer[pin] = answer[pin];
		sends++;
		coalesced += answer[pin] == 0;
	}
	if (must & ~seen)
		violation("a message is missing", __builtin_ctz(must & ~seen));
	if (sent.count != twin_sent.count || memcmp(&sent.msg, &twin_sent.msg, sent.count * sizeof(sent.msg[0])))
		violation("the twin sends something else", 0);

	for (i = 0; i < PINS; i++) {
		u64 e = now.redirtbl[i].bits;

		/* Never left undelivered: it was tried, and is not taken or has been requested. */
		if (up[i] && is_level(e) && !(e & (MASKED | REMOTE)) && last_answer[i] > 0)
			violation("a level is up, may be sent, and is not", i);
		if ((e & REMOTE) && !is_level(e))
			violation("remote IRR of an edge", i);
		if (is_level(e) && !(seen >> i & 1) && (e & REMOTE) &&
		    !(was->redirtbl[i].bits & REMOTE))
			violation("remote IRR of itself", i);
	}
	sent.count = 0;
	twin_sent.count = 0;
}

static void random_line(const struct kvm_ioapic_state *was)
{
	unsigned int pin = rnd_below(PINS);
	bool level = rnd() & 1, rises = level && !up[pin];
	u64 e = was->redirtbl[pin].bits;
	u32 bit = 1u << pin, must = 0, may = 0;
	int r;

	if (level && is_level(e) && !(e & (MASKED | REMOTE)))
		must = may = bit;
	else if (rises && !is_level(e) && !(e & MASKED))
		must = may = bit;
	up[pin] = level;
	r = lucid_ioapic_set_line(&io, pin, level);
	if (r != lucid_ioapic_set_line(&twin, pin, level))
		violation("the twin returns something else", pin);
	if (r != (!level ? 1 : must ? answer[pin] : !is_level(e) && !rises ? 0 : -1))
		violation("what a line's change returns", pin);
	check(was, may, must);
}

static void random_eoi(const struct kvm_ioapic_state *was)
{
	u8 vector = 0x40 + rnd_below(8);
	struct kvm_ioapic_state now;
	u32 must = 0;
	unsigned int i;
	bool wanted = false;

	for (i = 0; i < PINS; i++) {
		u64 e = was->redirtbl[i].bits;

		if (!is_level(e) || (e & 0xff) != vector)
			continue;
		wanted = true;
		if (up[i] && !(e & MASKED))
			must |= 1u << i;
	}
	if (lucid_ioapic_wants_eoi(&io, vector) != wanted)
		violation("whose EOI is wanted", 0);
	lucid_ioapic_eoi(&io, vector);
	lucid_ioapic_eoi(&twin, vector);
	lucid_ioapic_get(&io, &now);
	for (i = 0; i < PINS; i++) {
		u64 a = was->redirtbl[i].bits, b = now.redirtbl[i].bits;
		bool mine = is_level(a) && (a & 0xff) == vector;

		if ((a ^ b) & ~(u64)REMOTE)
			violation("an EOI changed an entry", i);
		if (!mine && a != b)
			violation("another vector's EOI", i);
		if (mine && !(must >> i & 1) && (b & REMOTE))
			violation("remote IRR survives its EOI", i);
		resends += must >> i & 1;
	}
	check(was, must, must);
}

static void random_write(const struct kvm_ioapic_state *was)
{
	unsigned int pin = rnd_below(PINS);
	u64 old = was->redirtbl[pin].bits, e;
	u32 low = 0x40 + rnd_below(8), must = 0;
	struct kvm_ioapic_state now;

	low |= (rnd() & (0xfffe0800 | STATUS | REMOTE | LEVEL | MASKED)) & ~(rnd_below(4) ? MASKED : 0);
	low |= rnd_below(8) ? rnd_below(2) << 8 : rnd_below(8) << 8;
	if (rnd_below(4)) {
		/* Mask, unmask or change one bit, as systems do. */
		low = old ^ (rnd() & 1 ? MASKED : rnd() & 1 ? LEVEL : 0);
	}
	lucid_ioapic_write(&io, 0, 0x10 + 2 * pin);
	lucid_ioapic_write(&twin, 0, 0x10 + 2 * pin);
	lucid_ioapic_write(&io, 0x10, low);
	lucid_ioapic_write(&twin, 0x10, low);
	lucid_ioapic_get(&io, &now);
	e = now.redirtbl[pin].bits;
	if ((e ^ low) & 0xffffffff & ~(STATUS | REMOTE))
		violation("an entry is not what was written", pin);
	if ((e ^ old) & (STATUS | ~0xffffffffull))
		violation("a write reached what it cannot", pin);
	if (is_level(e) && !(e & MASKED) && !(old & REMOTE) && up[pin])
		must = 1u << pin;
	else if ((e & REMOTE) != (is_level(e) ? old & REMOTE : 0))
		violation("remote IRR after a write", pin);
	check(was, must, must);
	if (lucid_ioapic_read(&io, 0x10) != (u32)e)
		violation("an entry reads otherwise", pin);
}

/*
 * A client's save and restore. Edge-triggered lines are down by then: KVM's
 * image does not say of one that was sent whether it is still up.
 */
static void restore_twin(void)
{
	struct kvm_ioapic_state s, again;
	int saved[256];
	unsigned int i;

	lucid_ioapic_get(&io, &s);
	for (i = 0; i < PINS; i++) {
		if (is_level(s.redirtbl[i].bits) || !up[i])
			continue;
		lucid_ioapic_set_line(&io, i, false);
		up[i] = false;
	}
	lucid_ioapic_get(&io, &s);
	memset(&twin, 0xff, sizeof(twin));
	/* What is sent now was coalesced or missed before, and is again. */
	memcpy(saved, answer, sizeof(answer));
	for (i = 0; i < 256; i++)
		answer[i] = 0;
	twin_sent.count = 0;
	lucid_ioapic_set(&twin, &s);
	for (i = 0; i < twin_sent.count; i++)
		if (!twin_sent.msg[i].level || last_answer[twin_sent.msg[i].dest % PINS] > 0)
			violation("a restore sends what was sent", twin_sent.msg[i].dest);
	twin_sent.count = 0;
	memcpy(answer, saved, sizeof(answer));
	lucid_ioapic_get(&twin, &again);
	if (memcmp(&s, &again, sizeof(s)))
		violation("the image of what an image made", 0);
	restores++;
}

static void random_steps(u64 n)
{
	unsigned int i;

	fresh();
	for (i = 0; i < PINS; i++) {
		entry(i, LEVEL | (0x40 + i % 8));
		last_answer[i] = 0;
		up[i] = false;
	}
	restore_twin();
	for (steps = 0; steps < n; steps++) {
		struct kvm_ioapic_state was;
		u32 dice = rnd_below(100);

		lucid_ioapic_get(&io, &was);
		/* Nobody awaits anything of one that is changed: try again. */
		for (i = 0; i < 2; i++)
			answer[rnd_below(PINS)] = rnd_below(8) ? 1 : rnd_below(2) - 1;
		if (dice < 40)
			random_line(&was);
		else if (dice < 75)
			random_eoi(&was);
		else if (dice < 99)
			random_write(&was);
		else
			restore_twin();
	}
	tap_ok(!violations && sends > n / 20 && resends > n / 100,
	       "%llu random steps: %llu messages, %llu after an EOI, %llu coalesced, %llu restores",
	       (unsigned long long)n, (unsigned long long)sends, (unsigned long long)resends,
	       (unsigned long long)coalesced, (unsigned long long)restores);

	for (i = 0; i < 100000; i++) {
		struct kvm_ioapic_state s;
		unsigned int k;

		for (k = 0; k < sizeof(s); k++)
			((u8 *)&s)[k] = rnd();
		lucid_ioapic_set(&io, &s);
		lucid_ioapic_write(&io, rnd() & 0x10, rnd());
		lucid_ioapic_read(&io, 0x10);
		lucid_ioapic_eoi(&io, rnd());
		lucid_ioapic_get(&io, &s);
		sent.count = 0;
		if (s.id > 15 || s.ioregsel > 255 || s.irr >> PINS)
			violation("a hostile image", 0);
		for (k = 0; k < PINS; k++)
			if ((s.redirtbl[k].bits & REMOTE) && !is_level(s.redirtbl[k].bits))
				violation("an edge with remote IRR from a hostile image", k);
	}
	tap_ok(!violations, "any image is safe");
}

int main(void)
{
	rnd_seed(4);
	test_registers();
	test_edge();
	test_level();
	test_image();
	test_msi();
	random_steps(2000000);
	return tap_done();
}

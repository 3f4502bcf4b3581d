// SPDX-License-Identifier: GPL-2.0
/*
 * The 8259s (kmod/irq/pic.c): what the data sheet says, then random programs.
 *
 * What is expected of a random step is worked out here from KVM's images of the
 * two chips before it and a memory of the lines: who is requested, in which
 * order, and what must not change.  A twin that is put back from those images
 * now and then has to behave the same ever after.
 */
#include <string.h>

#include "pic.h"
#include "tap.h"

static struct lucid_pic pic;

static void out(u16 port, u8 value)
{
	lucid_pic_write(&pic, port, value);
}

/* ICW1..4, as a PC's firmware gives them. */
static void init_pc(u8 icw4)
{
	lucid_pic_reset(&pic);
	out(0x20, 0x11);
	out(0x21, 0x30);
	out(0x21, 0x04);
	out(0x21, icw4);
	out(0xa0, 0x11);
	out(0xa1, 0x70);
	out(0xa1, 0x02);
	out(0xa1, icw4);
}

static void pulse(unsigned int irq)
{
	lucid_pic_set_line(&pic, irq, true);
	lucid_pic_set_line(&pic, irq, false);
}

/* The vector, or -1 if INTR is down. */
static int intr(void)
{
	return lucid_pic_output(&pic) ? lucid_pic_ack(&pic) : -1;
}

static void test_basics(void)
{
	struct kvm_pic_state s;
	unsigned int irq, good = 0;

	lucid_pic_reset(&pic);
	lucid_pic_get(&pic, 1, &s);
	tap_ok(!lucid_pic_output(&pic) && s.elcr_mask == 0xde && !s.init_state && !s.priority_add,
	       "power-up: quiet, no ICW expected, KVM's image");

	for (irq = 0; irq < 16; irq++) {
		if (irq == 2)
			continue;
		init_pc(1);
		pulse(irq);
		good += intr() == (int)(irq < 8 ? 0x30 + irq : 0x68 + irq) && intr() == -1;
	}
	tap_ok(good == 15, "each input gives its vector, once");

	init_pc(1);
	tap_ok(lucid_pic_set_line(&pic, 4, true) == 1 && lucid_pic_set_line(&pic, 4, false) == 1 &&
	       lucid_pic_set_line(&pic, 4, true) == 0,
	       "an edge is delivered, a second one before it is served is coalesced");
	out(0x21, 0x20);
	tap_ok(lucid_pic_set_line(&pic, 5, true) == -1 && lucid_pic_read(&pic, 0x20) == 0x30,
	       "masked: -1, and requested all the same");

	init_pc(1);
	pulse(5);
	pulse(9);
	pulse(3);
	tap_ok(intr() == 0x71 && intr() == -1, "9 is the slave's, and before 3");
	out(0xa0, 0x20);
	tap_ok(intr() == -1, "the slave's EOI alone: input 2 is still in service");
	out(0x20, 0x20);
	tap_ok(intr() == 0x33 && intr() == -1, "then 3, and 5 waits");
	pulse(0);
	tap_ok(intr() == 0x30, "0 interrupts 3");
	out(0x20, 0x20);
	out(0x20, 0x20);
	tap_ok(intr() == 0x35, "an EOI each, 5 comes last");
}

static void test_level(void)
{
	int i, n = 0;

	init_pc(1);
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	tap_ok(lucid_pic_read(&pic, 0x4d0) == 0xf8 && lucid_pic_read(&pic, 0x4d1) == 0xde,
	       "ELCR: IRQ 0, 1, 2, 8, 13 stay edges");
	lucid_pic_set_line(&pic, 11, true);
	for (i = 0; i < 100; i++) {
		n += intr() == 0x73 && intr() == -1;
		out(0xa0, 0x20);
		out(0x20, 0x20);
	}
	tap_ok(n == 100, "a level that stays up comes again after each EOI");
	lucid_pic_set_line(&pic, 11, false);
	tap_ok(lucid_pic_output(&pic) && intr() == 0x77 && !(lucid_pic_read(&pic, 0xa0) & 0x08),
	       "a level that fell before the acknowledge: the slave's input 7");
	out(0xa0, 0x0b);
	out(0x20, 0x0b);
	tap_ok(lucid_pic_read(&pic, 0xa0) == 0 && lucid_pic_read(&pic, 0x20) == 4,
	       "of which nothing is in service but the master's input 2");
	out(0x20, 0x20);
	lucid_pic_set_line(&pic, 5, true);
	lucid_pic_set_line(&pic, 5, false);
	tap_ok(lucid_pic_ack(&pic) == 0x37 && lucid_pic_read(&pic, 0x20) == 0,
	       "the same on the master: 0x37, nothing in service");
	out(0x4d0, 0);
	lucid_pic_set_line(&pic, 5, true);
	intr();
	out(0x4d0, 0x20);
	out(0x20, 0x20);
	tap_ok(intr() == 0x35, "an input that becomes level with its line up requests");
}

static void test_commands(void)
{
	int i, good = 0;

	init_pc(3);
	pulse(6);
	tap_ok(intr() == 0x36 && (out(0x20, 0x0b), lucid_pic_read(&pic, 0x20)) == 0,
	       "automatic EOI: nothing stays in service");

	out(0x20, 0x80);
	pulse(4);
	pulse(6);
	tap_ok(intr() == 0x34 && intr() == 0x36 && (pulse(5), pulse(7), intr()) == 0x37,
	       "automatic EOI that rotates: 4, 6, then 7 before 5");

	init_pc(1);
	out(0x20, 0xc3);	/* set priority: 3 is the lowest */
	for (i = 0; i < 8; i++)
		if (i != 2)
			pulse(i);
	for (i = 0; i < 8; i++) {
		int input = (4 + i) & 7;

		if (input == 2)
			continue;
		good += intr() == 0x30 + input;
		out(0x20, 0x20);
	}
	tap_ok(good == 7, "rotation: 4, 5, 6, 7, 0, 1, 3");

	init_pc(1);
	pulse(4);
	intr();
	out(0x20, 0xa0);	/* rotate on non-specific EOI */
	pulse(4);
	pulse(5);
	tap_ok(intr() == 0x35, "rotate on EOI: 4 has become the lowest");

	init_pc(1);
	pulse(5);
	intr();
	pulse(1);
	intr();
	out(0x20, 0x65);	/* specific EOI of 5 */
	out(0x20, 0x0b);
	tap_ok(lucid_pic_read(&pic, 0x20) == 0x02, "a specific EOI ends what it names");

	init_pc(1);
	pulse(1);
	intr();
	out(0x21, 0x02);
	pulse(6);
	tap_ok(intr() == -1, "in service and masked, it holds 6 back");
	out(0x20, 0x68);
	tap_ok(intr() == 0x36, "but not in special mask mode");
	out(0x20, 0x20);
	out(0x20, 0x0b);
	tap_ok(lucid_pic_read(&pic, 0x20) == 0x02, "whose EOI ends 6, not the masked 1");

	init_pc(0x11);
	pulse(15);
	intr();
	pulse(10);
	pulse(3);
	tap_ok(intr() == 0x72 && intr() == -1,
	       "special fully nested: the slave's 10 comes in 15's service, 3 does not");

	init_pc(1);
	pulse(7);
	out(0x20, 0x0c);
	tap_ok(lucid_pic_read(&pic, 0x20) == 0x87 && (out(0x20, 0x0b), lucid_pic_read(&pic, 0x20)) == 0x80,
	       "poll: 0x87, and 7 is in service");
	out(0x20, 0x0c);
	tap_ok(!(lucid_pic_read(&pic, 0x20) & 0x80) && lucid_pic_read(&pic, 0x20) == 0x80,
	       "poll with nothing to acknowledge; then the register again");

	init_pc(1);
	pulse(12);
	out(0xa0, 0x0c);
	tap_ok(lucid_pic_output(&pic) && lucid_pic_read(&pic, 0xa0) == 0x84 && !lucid_pic_output(&pic),
	       "poll of the slave takes its request from the master");

	init_pc(1);
	out(0x20, 0xc3);
	pulse(6);
	intr();
	pulse(6);
	pulse(1);
	out(0x20, 0x11);
	out(0x20, 0x0b);
	tap_ok(lucid_pic_read(&pic, 0x20) == 0, "ICW1 ends what is in service and has a pending edge");
	out(0x21, 0x30);
	out(0x21, 0x04);
	out(0x21, 0x01);
	pulse(4);
	pulse(1);
	tap_ok(intr() == 0x31, "ICW1 sets priorities back");

	init_pc(1);
	out(0x21, 0xaa);
	lucid_pic_set_line(&pic, 3, true);
	out(0x20, 0x10);
	tap_ok(lucid_pic_read(&pic, 0x20) == 0 && lucid_pic_read(&pic, 0x21) == 0,
	       "ICW1 clears IMR and the edges");
	out(0x21, 0x47);
	out(0x21, 0x00);
	out(0x21, 0x55);
	tap_ok(lucid_pic_read(&pic, 0x21) == 0x55, "without IC4, OCW1 follows ICW3");
	out(0x21, 0x00);
	lucid_pic_set_line(&pic, 3, true);
	tap_ok(intr() == 0x43, "the base's low bits are the input's; a line reported again is heard");
}

/* ---- random programs ---------------------------------------------------------- */

static struct lucid_pic twin;
static u64 violations, acks, spurious, steps, restores, edges, eois;

/* What the lines did: an edge that came and was not served; a line that is up. */
static bool edge[16], up[16];

static void violation(const char *what)
{
	if (violations++ < 5)
		tap_diag("step %llu: %s", (unsigned long long)steps, what);
}

static bool before(const struct kvm_pic_state *s, int a, int b)
{
	return ((a - s->priority_add) & 7) < ((b - s->priority_add) & 7);
}

/* Of the inputs in @set the one that all others come after; -1: empty. */
static int first(const struct kvm_pic_state *s, u8 set)
{
	int i, best = -1;

	for (i = 0; i < 8; i++)
		if ((set >> i & 1) && (best < 0 || before(s, i, best)))
			best = i;
	return best;
}

static int expect(const struct kvm_pic_state *s, bool master)
{
	int i, want = first(s, s->irr & ~s->imr);

	if (want < 0)
		return -1;
	for (i = 0; i < 8; i++) {
		if (!(s->isr >> i & 1) || (s->special_mask && (s->imr >> i & 1)))
			continue;
		if (i == want && i == 2 && master && s->special_fully_nested_mode)
			continue;
		if (!before(s, want, i))
			return -1;
	}
	return want;
}

/* @input of @chip was acknowledged: it was asked for by its line. */
static void served(unsigned int chip, int input, const struct kvm_pic_state *was)
{
	unsigned int irq = chip * 8 + input;
	struct kvm_pic_state s;

	lucid_pic_get(&pic, chip, &s);
	if (was->auto_eoi ? s.isr != was->isr : s.isr != (was->isr | 1 << input))
		violation("ISR after an acknowledge");
	if (s.priority_add != (was->auto_eoi && was->rotate_on_auto_eoi ? (input + 1) & 7 : was->priority_add))
		violation("rotation after an acknowledge");
	if (irq == 2)
		return;
	if (was->elcr >> input & 1) {
		if (!up[irq])
			violation("a level whose line is down is served");
	} else {
		if (!edge[irq])
			violation("an edge is served twice, or never came");
		edge[irq] = false;
	}
}

static void random_ack(bool forced)
{
	struct kvm_pic_state m, s;
	int input, vector, second = -1;

	lucid_pic_get(&pic, 0, &m);
	lucid_pic_get(&pic, 1, &s);
	input = expect(&m, true);
	if (lucid_pic_output(&pic) != (input >= 0))
		violation("INTR");
	if (input < 0 && !forced)
		return;
	vector = lucid_pic_ack(&pic);
	if (lucid_pic_ack(&twin) != vector)
		violation("the twin's vector");
	acks++;
	if (input == 2) {
		second = expect(&s, false);
		if (vector != s.irq_base + (second < 0 ? 7 : second))
			violation("the slave's vector");
		served(0, 2, &m);
		if (second >= 0)
			served(1, second, &s);
		else
			spurious++;
	} else if (input >= 0) {
		if (vector != m.irq_base + input)
			violation("the master's vector");
		served(0, input, &m);
	} else {
		spurious++;
		if (vector != m.irq_base + 7)
			violation("the spurious vector");
	}
}

static void write_both(u16 port, u8 value)
{
	lucid_pic_write(&pic, port, value);
	lucid_pic_write(&twin, port, value);
}

static void random_eoi(void)
{
	unsigned int chip = rnd_below(2);
	struct kvm_pic_state was, now;
	u8 command[] = { 0x20, 0x60, 0xa0, 0xe0 }, c = command[rnd_below(4)], expected;
	int input = rnd_below(8);

	lucid_pic_get(&pic, chip, &was);
	if (c & 0x40)
		c |= input;
	else
		input = first(&was, was.special_mask ? was.isr & ~was.imr : was.isr);
	write_both(chip ? 0xa0 : 0x20, c);
	lucid_pic_get(&pic, chip, &now);
	expected = input < 0 ? was.isr : was.isr & ~(1 << input);
	if (now.isr != expected)
		violation("an EOI clears exactly one in service");
	if (input >= 0 && now.priority_add != (c & 0x80 ? (input + 1) & 7 : was.priority_add))
		violation("rotation");
	eois++;
}

static void random_line(void)
{
	unsigned int irq = rnd_below(16), chip = irq / 8, bit = irq % 8;
	struct kvm_pic_state was;
	bool level = rnd() & 1;
	int r, expected = 1;

	if (irq == 2)
		return;
	lucid_pic_get(&pic, chip, &was);
	r = lucid_pic_set_line(&pic, irq, level);
	if (r != lucid_pic_set_line(&twin, irq, level))
		violation("the twin's line");
	if (level && ((was.elcr >> bit & 1) || !up[irq])) {
		expected = !(was.irr >> bit & 1);
		if (!(was.elcr >> bit & 1))
			edge[irq] = true;
		edges++;
	}
	up[irq] = level;
	if (r != (was.imr >> bit & 1 ? -1 : expected))
		violation("what a line's change returns");
}

static void random_init(void)
{
	unsigned int chip = rnd_below(2), i;
	u16 port = chip ? 0xa0 : 0x20;
	u8 icw1 = 0x10 | rnd_below(16);
	struct kvm_pic_state s;

	lucid_pic_get(&pic, chip, &s);
	for (i = 0; i < 8; i++) {
		if (!(s.elcr >> i & 1)) {
			edge[chip * 8 + i] = false;
			up[chip * 8 + i] = false;	/* heard again */
		}
	}
	write_both(port, icw1);
	if (!rnd_below(16))
		return;		/* something else comes in between */
	write_both(port + 1, rnd());
	write_both(port + 1, rnd());
	if (icw1 & 1)
		write_both(port + 1, rnd());
}

static void random_elcr(void)
{
	unsigned int chip = rnd_below(2), i;
	struct kvm_pic_state was;
	u8 value = rnd();

	lucid_pic_get(&pic, chip, &was);
	write_both(0x4d0 + chip, value);
	/* A request that is there when the input becomes an edge's is one. */
	for (i = 0; i < 8; i++)
		if ((was.elcr >> i & 1) && !(value >> i & 1))
			edge[chip * 8 + i] = was.irr >> i & 1;
}

static void random_read(void)
{
	static const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	u16 port = ports[rnd_below(6)];
	unsigned int chip = port < 0x400 ? port >> 7 : port & 1;
	struct kvm_pic_state was;
	u8 value;
	int input;

	lucid_pic_get(&pic, chip, &was);
	value = lucid_pic_read(&pic, port);
	if (value != lucid_pic_read(&twin, port))
		violation("the twin's register");
	if (port >= 0x400) {
		if (value != was.elcr)
			violation("ELCR");
	} else if (was.poll) {
		input = expect(&was, !chip);
		if (input < 0 ? value & 0x80 : value != (0x80 | input))
			violation("poll");
		if (input >= 0)
			served(chip, input, &was);
	} else if (value != (port & 1 ? was.imr : was.read_reg_select ? was.isr : was.irr)) {
		violation("a register");
	}
}

static void restore_twin(void)
{
	struct kvm_pic_state s[2], again;
	unsigned int i;

	memset(&twin, 0, sizeof(twin));
	for (i = 0; i < 2; i++) {
		lucid_pic_get(&pic, i, &s[i]);
		lucid_pic_set(&twin, i, &s[i]);
	}
	for (i = 0; i < 2; i++) {
		lucid_pic_get(&twin, i, &again);
		if (memcmp(&again, &s[i], sizeof(again)))
			violation("the image of what an image made");
	}
	restores++;
}

/* All lines that ask and are not masked are heard when nothing is in service. */
static void check_nothing_lost(void)
{
	struct kvm_pic_state m, s;
	unsigned int i;
	bool slave = false, asks = false;

	lucid_pic_get(&pic, 0, &m);
	lucid_pic_get(&pic, 1, &s);
	for (i = 8; i < 16 && !s.isr; i++)
		slave |= !(s.imr >> (i - 8) & 1) && (s.elcr >> (i - 8) & 1 ? up[i] : edge[i]);
	for (i = 0; i < 8 && !m.isr; i++) {
		bool line = m.elcr >> i & 1 ? up[i] : edge[i];

		asks |= !(m.imr >> i & 1) && (i == 2 ? slave : line);
	}
	if (asks && !lucid_pic_output(&pic))
		violation("somebody asks, nothing is in service, and INTR is down");
}

static void random_steps(u64 n)
{
	unsigned int i;

	init_pc(1);
	memset(edge, 0, sizeof(edge));
	memset(up, 0, sizeof(up));
	restore_twin();
	for (steps = 0; steps < n; steps++) {
		u32 dice = rnd_below(1000);

		if (dice < 350)
			random_line();
		else if (dice < 600)
			random_ack(dice < 370);
		else if (dice < 850)
			random_eoi();
		else if (dice < 900)
			random_read();
		else if (dice < 930)
			write_both(rnd() & 1 ? 0x21 : 0xa1, rnd() & rnd());
		else if (dice < 950)
			write_both(rnd() & 1 ? 0x20 : 0xa0, rnd() & 0xe7);
		else if (dice < 975)
			write_both(rnd() & 1 ? 0x20 : 0xa0, 0x08 | (rnd() & 0x67));
		else if (dice < 985)
			random_elcr();
		else if (dice < 988)
			random_init();
		else
			restore_twin();
		check_nothing_lost();
		if (lucid_pic_output(&pic) != lucid_pic_output(&twin))
			violation("the twin's INTR");
	}
	tap_ok(!violations && acks > n / 10 && eois > n / 10,
	       "%llu random steps: %llu requests, %llu acknowledged (%llu spurious), %llu EOIs, %llu restores",
	       (unsigned long long)n, (unsigned long long)edges, (unsigned long long)acks,
	       (unsigned long long)spurious, (unsigned long long)eois,
	       (unsigned long long)restores);

	/* Images of no chip's: any is safe, and is cut down to one of a chip's. */
	for (i = 0; i < 200000; i++) {
		struct kvm_pic_state s, again, third;
		unsigned int k;

		for (k = 0; k < sizeof(s); k++)
			((u8 *)&s)[k] = rnd();
		lucid_pic_set(&pic, i & 1, &s);
		lucid_pic_get(&pic, i & 1, &again);
		lucid_pic_set(&pic, i & 1, &again);
		lucid_pic_get(&pic, i & 1, &third);
		if (memcmp(&again, &third, sizeof(again)) || (again.irq_base & 7) ||
		    (again.elcr & ~again.elcr_mask) || again.priority_add > 7)
			violation("a hostile image");
		lucid_pic_ack(&pic);
		lucid_pic_write(&pic, 0x20 | (rnd() & 0x81), rnd());
		lucid_pic_read(&pic, 0x20 | (rnd() & 0x81));
	}
	tap_ok(!violations, "any image is safe");
}

static void test_ports(void)
{
	u32 port, n = 0;

	for (port = 0; port < 0x10000; port++)
		n += lucid_pic_has_port(port);
	tap_ok(n == 6 && lucid_pic_has_port(0x20) && lucid_pic_has_port(0x21) &&
	       lucid_pic_has_port(0xa0) && lucid_pic_has_port(0xa1) &&
	       lucid_pic_has_port(0x4d0) && lucid_pic_has_port(0x4d1), "six ports");
}

int main(void)
{
	rnd_seed(3);
	test_ports();
	test_basics();
	test_level();
	test_commands();
	random_steps(3000000);
	return tap_done();
}

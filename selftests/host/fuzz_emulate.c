// SPDX-License-Identifier: GPL-2.0
/*
 * libFuzzer on the emulator: whatever the code, the registers, the segments and
 * the answers of the callbacks, a run ends, what it says is consistent, nothing
 * has changed unless it is done, and the sanitizers find nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "emulate.h"

#define CHECK(cond)	do { if (!(cond)) abort(); } while (0)

#define HEADER		48

static const u8 *answers;	/* what callbacks answer comes from here */
static unsigned int nr_answers, asked;
static u64 changed;		/* callbacks that have changed something, in this run */

static u8 answer(void)
{
	return answers[asked++ % nr_answers];
}

static int verdict(struct lucid_emul_ctxt *c)
{
	switch (answer() & 15) {
	case 0:
		return lucid_emul_exception(c, 13, true, 0);
	case 1:
		return LUCID_EMUL_UNHANDLEABLE;
	}
	return LUCID_EMUL_OK;
}

/* Pages are RAM, MMIO, or fault, by their number. */
static u8 ram[4096];

static int mem(struct lucid_emul_ctxt *c, u64 linear, unsigned int len, u64 *gpa, int mmio)
{
	CHECK(len >= 1 && (linear & 4095) + len <= 4096);
	CHECK(c->mode == LUCID_EMUL_LONG || linear <= 0xffffffff);
	*gpa = linear;
	switch ((linear >> 12 ^ answers[0]) % 8) {
	case 0:
		return lucid_emul_page_fault(c, linear, 4);
	case 1: case 2: case 3:
		return mmio;
	}
	return LUCID_EMUL_OK;
}

static int read_mem(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len, u64 *gpa)
{
	CHECK(len <= 8);
	memcpy(buf, ram + (linear & 4095), len);
	return mem(c, linear, len, gpa, LUCID_EMUL_MMIO_READ);
}

static int write_mem(struct lucid_emul_ctxt *c, u64 linear, const void *buf, unsigned int len,
		     u64 *gpa)
{
	int res = mem(c, linear, len, gpa, LUCID_EMUL_MMIO_WRITE);

	CHECK(len <= 8);
	if (res == LUCID_EMUL_OK && !(answer() & 15))
		return LUCID_EMUL_RETRY;
	if (res == LUCID_EMUL_OK)
		memcpy(ram + (linear & 4095), buf, len);
	return res;
}

static int probe_write(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	u64 gpa;

	return mem(c, linear, len, &gpa, LUCID_EMUL_OK);
}

static int cmpxchg_mem(struct lucid_emul_ctxt *c, u64 linear, const void *old, const void *val,
		       unsigned int len, u64 *gpa)
{
	CHECK(len <= 16);
	if (memcmp(ram + (linear & 4095), old, len) && mem(c, linear, len, gpa, 9) == LUCID_EMUL_OK)
		return LUCID_EMUL_RETRY;
	return mem(c, linear, len, gpa, LUCID_EMUL_MMIO_WRITE);
}

static int read_xmm(struct lucid_emul_ctxt *c, unsigned int reg, void *buf)
{
	CHECK(reg < 16);
	memset(buf, reg, 16);
	return LUCID_EMUL_OK;
}

static int write_xmm(struct lucid_emul_ctxt *c, unsigned int reg, const void *buf)
{
	u8 sum = 0;
	int i;

	CHECK(reg < 16);
	for (i = 0; i < 16; i++)	/* all of it is initialized */
		sum += ((const u8 *)buf)[i];
	changed++;
	ram[0] = sum;
	return LUCID_EMUL_OK;
}

static int read_desc(struct lucid_emul_ctxt *c, u16 selector, u64 *desc)
{
	memcpy(desc, ram + (selector & 0xff8), 8);
	return verdict(c);
}

static int mark_accessed(struct lucid_emul_ctxt *c, u16 selector)
{
	return verdict(c);
}

static void get_table(struct lucid_emul_ctxt *c, bool idt, u64 *base, u32 *limit)
{
	*base = answer() << 8;
	*limit = answer() << 2;
}

static void set_table(struct lucid_emul_ctxt *c, bool idt, u64 base, u32 limit)
{
	CHECK(!c->cpl && limit <= 0xffff);
	changed++;
}

static int get_reg(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val)
{
	CHECK(!c->cpl && nr < 16);
	*val = answer();
	return verdict(c);
}

static int set_reg(struct lucid_emul_ctxt *c, unsigned int nr, u64 val)
{
	int res = verdict(c);

	CHECK(!c->cpl && nr < 16);
	changed += res == LUCID_EMUL_OK;
	return res;
}

static int read_msr(struct lucid_emul_ctxt *c, u32 index, u64 *val)
{
	return get_reg(c, 0, val);
}

static int write_msr(struct lucid_emul_ctxt *c, u32 index, u64 val)
{
	return set_reg(c, 0, val);
}

static int invlpg(struct lucid_emul_ctxt *c, u64 linear)
{
	return set_reg(c, 0, linear);
}

static int hlt(struct lucid_emul_ctxt *c)
{
	return set_reg(c, 0, 0);
}

static int cpuid(struct lucid_emul_ctxt *c, u32 *regs)
{
	regs[2] = regs[3] = regs[0] ^ regs[1];
	return verdict(c);
}

static int rdtsc(struct lucid_emul_ctxt *c, u64 *val)
{
	*val = answer();
	return verdict(c);
}

static int port_in(struct lucid_emul_ctxt *c, u16 port, u64 *val, unsigned int size)
{
	CHECK(size == 1 || size == 2 || size == 4);
	*val = answer();
	return verdict(c);
}

static int port_out(struct lucid_emul_ctxt *c, u16 port, u64 val, unsigned int size)
{
	CHECK(size == 1 || size == 2 || size == 4);
	return verdict(c);
}

static const struct lucid_emul_ops all_ops = {
	.read_mem = read_mem, .write_mem = write_mem, .probe_write = probe_write,
	.cmpxchg_mem = cmpxchg_mem, .read_xmm = read_xmm, .write_xmm = write_xmm,
	.read_desc = read_desc, .mark_accessed = mark_accessed, .get_table = get_table,
	.set_table = set_table, .read_cr = get_reg, .write_cr = set_reg, .read_dr = get_reg,
	.write_dr = set_reg, .read_msr = read_msr, .write_msr = write_msr, .invlpg = invlpg,
	.hlt = hlt, .cpuid = cpuid, .rdtsc = rdtsc, .port_in = port_in, .port_out = port_out,
};

static const struct lucid_emul_ops few_ops = {
	.read_mem = read_mem, .write_mem = write_mem, .probe_write = probe_write,
};

static const struct lucid_emul_ops one_ops = {
	.one_access = true,
	.read_mem = read_mem, .write_mem = write_mem, .probe_write = probe_write,
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct lucid_emul_ctxt c, before;
	unsigned int i, runs;
	u64 word;

	if (size <= HEADER)
		return 0;
	memset(&c, 0, sizeof(c));
	c.mode = data[0] % 5;
	c.ops = data[1] & 7 ? &all_ops : data[1] & 8 ? &few_ops : &one_ops;
	c.la57 = data[1] & 16;
	c.align_check = !(data[1] & 0xe0);
	c.cpl = c.mode == LUCID_EMUL_REAL ? 0 : c.mode == LUCID_EMUL_VM86 ? 3 : data[2] & 3;
	c.tzcnt = data[2] & 4;
	c.lzcnt = data[2] & 8;
	c.cr0 = data[2] & 0xf0 ? 0x80000011 : 0x8000001d;
	c.cr4 = data[3] & 1 ? 0x200 : data[3] | data[3] << 8;
	memcpy(&word, data + 4, 8);
	for (i = 0; i < 16; i++)
		c.regs[i] = data[12 + i] & 1 ? data[12 + i] >> 1 : word * (i + 1) >> (data[12 + i] & 62);
	memcpy(&c.rflags, data + 28, 4);
	memcpy(&c.rip, data + 32, 8);
	if (c.mode != LUCID_EMUL_LONG)
		c.rip = (u32)c.rip;
	for (i = 0; i < LUCID_SEG_NR; i++) {
		c.seg[i].limit = data[40 + i] & 1 ? 0xffffffff : 0xffff;
		c.seg[i].type = data[40 + i] >> 1 & 15;
		c.seg[i].db = data[40 + i] >> 5 & 1;
		c.seg[i].base = data[40 + i] >> 6 ? word >> i : 0;
		c.seg[i].selector = word >> (i + 8);
		c.seg[i].unusable = !(data[40 + i] & 0xfe);
	}
	answers = data + 4;
	nr_answers = HEADER - 4;
	asked = data[46];
	for (i = 0; i + 32 <= sizeof(ram); i += 32)
		memcpy(ram + i, data + 4, 32);

	if (lucid_insn_decode(&c.insn, data + HEADER, size - HEADER, lucid_emul_insn_mode(c.mode),
			      data[47] & 1 ? LUCID_INSN_AMD : 0) <= 0)
		return 0;

	lucid_emul_begin(&c);
	for (runs = 0; runs <= LUCID_EMUL_MAX_FRAGS; runs++) {
		unsigned int answered = c.nr_reads;
		int res;

		before = c;
		changed = 0;
		res = lucid_emul_run(&c);
		CHECK(res >= LUCID_EMUL_OK && res <= LUCID_EMUL_UNHANDLEABLE);
		CHECK(res != LUCID_EMUL_MMIO_WRITE);
		CHECK(c.nr_reads <= LUCID_EMUL_MAX_FRAGS && c.nr_writes <= LUCID_EMUL_MAX_FRAGS);
		for (i = 0; i < c.nr_writes; i++)
			CHECK(c.writes[i].len >= 1 && c.writes[i].len <= 8);
		CHECK(c.mode == LUCID_EMUL_LONG || c.rip <= 0xffffffff);
		if (res == LUCID_EMUL_OK) {
			for (i = 0; i < LUCID_SEG_NR; i++)
				CHECK(c.effects >> i & 1 ||
				      !memcmp(&c.seg[i], &before.seg[i], sizeof(c.seg[i])));
			return 0;
		}
		CHECK(!c.nr_writes && !changed);
		CHECK(c.rip == before.rip && c.rflags == before.rflags);
		CHECK(!memcmp(c.regs, before.regs, sizeof(c.regs)));
		CHECK(!memcmp(c.seg, before.seg, sizeof(c.seg)));
		if (res == LUCID_EMUL_FAULT)
			CHECK(c.fault.vector < 32 && (c.mode != LUCID_EMUL_REAL || !c.fault.has_error_code));
		if (res != LUCID_EMUL_MMIO_READ)
			return 0;
		CHECK(c.nr_reads < LUCID_EMUL_MAX_FRAGS && c.nr_reads >= answered);
		CHECK(c.reads[c.nr_reads].len >= 1 && c.reads[c.nr_reads].len <= 8);
		lucid_emul_mmio_answer(&c, data + 4 + runs);
	}
	abort();	/* it never ends */
}

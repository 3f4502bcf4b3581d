// SPDX-License-Identifier: GPL-2.0
/*
 * libFuzzer on the decoder, and on the emulator behind it: whatever the bytes,
 * what comes out is consistent and stays within bounds (the sanitizers watch).
 * The first byte chooses mode and flags, eight more the registers, the rest is code.
 */
#include <stdlib.h>
#include <string.h>

#include "emulate.h"

#define CHECK(cond)	do { if (!(cond)) abort(); } while (0)

/* Memory where every fourth page is MMIO, every fifth faults, the rest is RAM. */
static int mem(struct lucid_emul_ctxt *c, u64 linear, unsigned int len, u64 *gpa, int mmio)
{
	CHECK(len >= 1 && len <= 8);
	CHECK((linear & 4095) + len <= 4096);
	CHECK(c->mode == LUCID_EMUL_LONG || linear <= 0xffffffff);
	if ((linear >> 12) % 5 == 0)
		return lucid_emul_page_fault(c, linear, 4);
	*gpa = linear;
	return (linear >> 12) % 4 ? LUCID_EMUL_OK : mmio;
}

static int read_mem(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len, u64 *gpa)
{
	memset(buf, 0x5a, len);
	return mem(c, linear, len, gpa, LUCID_EMUL_MMIO_READ);
}

static int write_mem(struct lucid_emul_ctxt *c, u64 linear, const void *buf, unsigned int len,
		     u64 *gpa)
{
	u64 val = 0;

	memcpy(&val, buf, len);
	return mem(c, linear, len, gpa, LUCID_EMUL_MMIO_WRITE);
}

static int probe_write(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	u64 gpa;

	return mem(c, linear, len, &gpa, LUCID_EMUL_OK);
}

static const struct lucid_emul_ops ops = {
	.read_mem = read_mem, .write_mem = write_mem, .probe_write = probe_write,
};

static void emulate(const struct lucid_insn *insn, const u8 *seed)
{
	static const enum lucid_emul_mode modes[] = {
		LUCID_EMUL_PROT16, LUCID_EMUL_PROT32, LUCID_EMUL_LONG
	};
	struct lucid_emul_ctxt c = { .insn = *insn, .ops = &ops, .mode = modes[insn->mode] };
	unsigned int i, runs;
	u64 val = 0, rip;

	memcpy(&val, seed, 8);
	for (i = 0; i < 16; i++)
		c.regs[i] = val * (i + 1);
	for (i = 0; i < LUCID_SEG_NR; i++) {
		c.seg[i].limit = seed[i] & 1 ? 0xffffffff : 0xffff;
		c.seg[i].type = seed[i] >> 1 & 15;
	}
	rip = c.rip = val;

	lucid_emul_begin(&c);
	for (runs = 0; runs <= LUCID_EMUL_MAX_FRAGS; runs++) {
		int res = lucid_emul_run(&c);

		CHECK(res >= LUCID_EMUL_OK && res <= LUCID_EMUL_UNHANDLEABLE);
		CHECK(res != LUCID_EMUL_MMIO_WRITE);
		CHECK(c.nr_reads <= LUCID_EMUL_MAX_FRAGS && c.nr_writes <= LUCID_EMUL_MAX_FRAGS);
		if (res == LUCID_EMUL_OK)
			return;
		CHECK(c.rip == rip && !c.nr_writes);
		if (res != LUCID_EMUL_MMIO_READ)
			return;
		lucid_emul_mmio_answer(&c, seed);
	}
	abort();	/* it never ends */
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct lucid_insn insn, other;
	unsigned int mode, flags, avail, cut, id;
	const u8 *code = data + 9;
	int len;

	if (size < 9)
		return 0;
	mode = data[0] % 3;
	flags = data[0] & 4 ? LUCID_INSN_AMD : 0;
	avail = size - 9;

	len = lucid_insn_decode(&insn, code, avail, mode, flags);
	if (len <= 0) {
		CHECK(len == -LUCID_INSN_MORE || len == -LUCID_INSN_INVALID ||
		      len == -LUCID_INSN_TOO_LONG);
		CHECK(len != -LUCID_INSN_MORE || avail < LUCID_INSN_MAX_LEN);
		return 0;
	}

	CHECK(len <= LUCID_INSN_MAX_LEN && (unsigned int)len <= avail && insn.len == len);
	CHECK(!memcmp(insn.bytes, code, len));
	CHECK(insn.opcode_off < len && insn.bytes[insn.opcode_off] == insn.opcode);
	CHECK(!insn.has_modrm || insn.bytes[insn.modrm_off] == insn.modrm);
	CHECK(insn.disp_off + insn.disp_size <= len);
	CHECK(insn.imm_off + insn.imm_size + insn.imm2_size <= len);
	CHECK(insn.base < 16 || insn.base == LUCID_NO_REG);
	CHECK(insn.index < 16 || insn.index == LUCID_NO_REG);
	CHECK(insn.reg < 32 && insn.rm < 32 && insn.vvvv < 32);
	CHECK(insn.encoding == LUCID_ENC_EVEX || (insn.reg < 16 && insn.rm < 16 && insn.vvvv < 16));
	CHECK(insn.opsize == 2 || insn.opsize == 4 || insn.opsize == 8);
	CHECK(insn.addrsize == 2 || insn.addrsize == 4 || insn.addrsize == 8);

	for (cut = 0; cut < (unsigned int)len; cut++)
		CHECK(lucid_insn_decode(&other, code, cut, mode, flags) == -LUCID_INSN_MORE);
	for (id = 0; id < LUCID_I_NR; id++)
		if (lucid_insn_is(&insn, id) &&
		    (id == LUCID_I_MOV_TO_CR || id == LUCID_I_MOV_FROM_CR))
			CHECK(lucid_insn_cr(&insn) <= 8);
	emulate(&insn, data + 1);
	return 0;
}

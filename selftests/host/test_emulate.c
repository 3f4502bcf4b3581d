// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's moves against the CPU that this runs on: random instructions
 * in 64-bit mode, executed natively and emulated, registers and memory compared;
 * in the emulator memory turns into MMIO at random, so that replayed reads and
 * posted writes are in it. Then what the CPU cannot be asked from here:
 * segments, other modes, faults, splitting, completion.
 */
#include <asm/prctl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul_vm.h"
#include "tap.h"

#define BUF_SIZE	(4 * 4096)

/*
 * Native execution. Everything lies below 2G, where an instruction can name it
 * by a plain 32-bit address.
 */
static struct native {
	u64 in[16];
	u64 out[16];
	u64 host_rsp;
	u8 code[4096 - 33 * 8];
	u8 buf[BUF_SIZE];
} *nat;

static u8 *put_reg_mem(u8 *p, u8 opcode, unsigned int reg, const void *mem)
{
	u32 addr = (uintptr_t)mem;

	*p++ = 0x48 | (reg & 8) >> 1;	/* MOV between reg and [addr], 64 bits */
	*p++ = opcode;
	*p++ = (reg & 7) << 3 | 4;
	*p++ = 0x25;
	memcpy(p, &addr, 4);
	return p + 4;
}

/* Where the instruction under test goes: behind what is always the same. */
static u8 *native_prologue(void)
{
	static const u8 push[] = { 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57 };
	u8 *p = nat->code;
	unsigned int i;

	memcpy(p, push, sizeof(push));
	p = put_reg_mem(p + sizeof(push), 0x89, 4, &nat->host_rsp);
	for (i = 0; i < 16; i++)
		p = put_reg_mem(p, 0x8b, i, &nat->in[i]);
	return p;
}

static void native_run(u8 *at, const struct lucid_insn *insn)
{
	static const u8 pop[] = {
		0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3
	};
	unsigned int i;
	u8 *p;

	memcpy(at, insn->bytes, insn->len);
	p = at + insn->len;
	for (i = 0; i < 16; i++)
		p = put_reg_mem(p, 0x89, i, &nat->out[i]);
	p = put_reg_mem(p, 0x8b, 4, &nat->host_rsp);
	memcpy(p, pop, sizeof(pop));
	((void (*)(void))(uintptr_t)nat->code)();
}

/* A random move in 64-bit mode; false if these bytes are not fit to be run. */
static bool random_move(struct lucid_insn *insn)
{
	static const u16 opcodes[] = {
		0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0x63,
		0xfb6, 0xfb7, 0xfbe, 0xfbf,
	};
	u8 b[32];
	unsigned int n = 0, opcode = opcodes[rnd_below(sizeof(opcodes) / sizeof(*opcodes))];
	u64 r;

	if (!rnd_below(4))
		b[n++] = 0x66;
	if (!rnd_below(6))
		b[n++] = 0x67;
	if (!rnd_below(8))
		b[n++] = rnd_below(2) ? 0x64 : 0x65;
	if (!rnd_below(16))
		b[n++] = (const u8[]){ 0x26, 0x2e, 0x36, 0x3e, 0xf2, 0xf3 }[rnd_below(6)];
	if (rnd_below(2))
		b[n++] = 0x40 | rnd_below(16);
	if (opcode > 0xff)
		b[n++] = 0x0f;
	b[n++] = opcode;
	b[n] = rnd() >> 56;
	if (opcode == 0xc6 || opcode == 0xc7)
		b[n] &= 0xc7;
	n++;
	while (n <= sizeof(b) - 8) {
		r = rnd();
		memcpy(b + n, &r, 8);
		n += 8;
	}
	return lucid_insn_decode(insn, b, n, LUCID_INSN_64, 0) > 0;
}

/*
 * Registers and displacement such that the memory operand lies at @target.
 * False if this instruction cannot be made to reach it.
 */
static bool aim(struct lucid_insn *insn, u64 *regs, u64 fs_base, u64 gs_base, u64 rip, u64 target)
{
	bool moffs = !insn->has_modrm;
	u64 want = target, disp;
	u8 bytes[LUCID_INSN_MAX_LEN];

	if (!moffs && insn->mod == 3)
		return true;
	if (insn->seg == LUCID_SEG_FS)
		want -= fs_base;
	if (insn->seg == LUCID_SEG_GS)
		want -= gs_base;
	if (insn->addrsize == 4 && want > 0xffffffff)
		return false;

	if (insn->index != LUCID_NO_REG) {
		if (insn->index == insn->base)
			return false;
		regs[insn->index] = rnd_below(2) ? rnd_below(1000) : -(u64)rnd_below(1000);
		want -= regs[insn->index] << insn->scale;
	}
	if (insn->base != LUCID_NO_REG) {
		regs[insn->base] = want - insn->disp;
		if (insn->addrsize == 4)	/* what lies above is ignored */
			regs[insn->base] = (u32)regs[insn->base] | rnd() << 32;
		return true;
	}
	if (insn->rip_rel)
		want -= rip + insn->len;
	disp = want;
	if (insn->addrsize == 4)
		disp = (u32)disp;
	if (!moffs && insn->addrsize == 8 && (s64)disp != (s32)disp)
		return false;
	memcpy(bytes, insn->bytes, insn->len);
	memcpy(bytes + insn->disp_off, &disp, insn->disp_size);
	return lucid_insn_decode(insn, bytes, insn->len, LUCID_INSN_64, 0) > 0;
}

static void test_native(unsigned int count)
{
	static u8 before[BUF_SIZE], shadow[BUF_SIZE];
	struct lucid_emul_ctxt c = { .ops = &ops, .mode = LUCID_EMUL_LONG };
	unsigned int i, j, ran = 0, wrong = 0, replayed = 0, posted = 0, opcodes[256] = { 0 };
	u64 fs_base, gs_base = 0x1230;
	u8 *at;

	nat = mmap(NULL, sizeof(*nat), PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (nat == MAP_FAILED) {
		tap_skip("moves against the CPU", "no executable memory below 2G");
		return;
	}
	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base);
	syscall(SYS_arch_prctl, ARCH_SET_GS, gs_base);
	at = native_prologue();

	for (i = 0; i < BUF_SIZE; i++)
		before[i] = rnd() >> 56;
	vm.base = (uintptr_t)nat->buf;
	vm.size = BUF_SIZE;
	vm.mem = shadow;
	c.seg[LUCID_SEG_FS].base = fs_base;
	c.seg[LUCID_SEG_GS].base = gs_base;

	for (i = 0; i < count && wrong < 10; i++) {
		unsigned int reads, page = 1 + rnd_below(2);
		u64 offset = rnd_below(3) ? page * 4096 + rnd_below(4096) :
					    page * 4096 - rnd_below(8);
		int res;

		if (!random_move(&c.insn))
			continue;
		for (j = 0; j < 16; j++)
			nat->in[j] = rnd();
		if (!aim(&c.insn, nat->in, fs_base, gs_base, (uintptr_t)at, vm.base + offset))
			continue;

		memcpy(nat->buf, before, BUF_SIZE);
		memcpy(shadow, before, BUF_SIZE);
		memcpy(c.regs, nat->in, sizeof(c.regs));
		c.rip = (uintptr_t)at;
		c.rflags = 2;
		vm.mmio = rnd() >> 60;

		native_run(at, &c.insn);
		res = emulate(&c, &reads);
		ran++;
		replayed += reads != 0;
		posted += c.nr_writes != 0;
		opcodes[c.insn.opcode]++;

		if (res == LUCID_EMUL_OK && !memcmp(c.regs, nat->out, sizeof(c.regs)) &&
		    !memcmp(nat->buf, shadow, BUF_SIZE) &&
		    c.rip == (uintptr_t)at + c.insn.len)
			continue;
		wrong++;
		printf("# result %d, registers %s, memory %s:", res,
		       memcmp(c.regs, nat->out, sizeof(c.regs)) ? "differ" : "same",
		       memcmp(nat->buf, shadow, BUF_SIZE) ? "differs" : "same");
		for (j = 0; j < c.insn.len; j++)
			printf(" %02x", c.insn.bytes[j]);
		putchar('\n');
	}
	tap_ok(!wrong, "%u random moves as the CPU does them", ran);

	for (i = j = 0; i < 256; i++)
		j += opcodes[i] > count / 100;
	tap_ok(j == 15 && replayed > count / 20 && posted > count / 20,
	       "all 15 opcodes were among them (%u), %u with MMIO reads, %u with MMIO writes",
	       j, replayed, posted);
	tap_ok(!vm.crossed && vm.longest == 8, "no piece crossed a page or was above 8 bytes");
}

/* From here on: one instruction, given as bytes, in a mode, on 16 pages at 0x10000. */
static u8 ram[16 * 4096];

static void setup(struct lucid_emul_ctxt *c, enum lucid_emul_mode mode, const char *bytes,
		  unsigned int len)
{
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->ops = &ops;
	c->mode = mode;
	c->rip = 0x1000;
	c->rflags = 0x10002;
	for (i = 0; i < LUCID_SEG_NR; i++) {
		c->seg[i].limit = mode == LUCID_EMUL_PROT32 || mode == LUCID_EMUL_LONG ?
				  0xffffffff : 0xffff;
		c->seg[i].type = i == LUCID_SEG_CS ? 11 : 3;
		c->seg[i].db = mode == LUCID_EMUL_PROT32;
		c->seg[i].present = c->seg[i].s = 1;
	}
	memset(&vm, 0, sizeof(vm));
	vm.base = 0x10000;
	vm.size = sizeof(ram);
	vm.mem = ram;
	for (i = 0; i < sizeof(ram); i++)
		ram[i] = i ^ i >> 8;
	if (lucid_insn_decode(&c->insn, (const u8 *)bytes, len, lucid_emul_insn_mode(mode), 0) !=
	    (int)len) {
		tap_diag("test's own bytes are wrong: %02x ..", (u8)bytes[0]);
		exit(1);
	}
	lucid_emul_begin(c);
}
#define SETUP(c, mode, bytes)	setup(c, LUCID_EMUL_##mode, bytes, sizeof(bytes) - 1)

static bool faults(struct lucid_emul_ctxt *c, u8 vector, bool has_error_code, u32 error_code)
{
	struct lucid_emul_ctxt before = *c;

	c->fault.cr2 = 1;		/* an old one must not stay */
	return lucid_emul_run(c) == LUCID_EMUL_FAULT && c->fault.vector == vector &&
	       c->fault.has_error_code == has_error_code && c->fault.error_code == error_code &&
	       (vector == 14 || !c->fault.cr2) && !memcmp(c->regs, before.regs, sizeof(c->regs)) && c->rip == before.rip &&
	       c->rflags == before.rflags && !c->nr_writes;
}

static bool ok(struct lucid_emul_ctxt *c)
{
	return lucid_emul_run(c) == LUCID_EMUL_OK && !(c->rflags & 0x10000);
}

static void test_16bit(void)
{
	struct lucid_emul_ctxt c;
	bool good;

	SETUP(&c, REAL, "\x8b\x42\x10");		/* mov ax, [bp+si+0x10] */
	c.seg[LUCID_SEG_SS].base = 0x10000;
	c.regs[5] = 0xdead0100;
	c.regs[6] = 0xbeef0020;
	c.regs[0] = 0x1122334455667788;
	good = ok(&c) && c.regs[0] == (0x1122334455660000ull | (u16)(ram[0x130] | ram[0x131] << 8)) &&
	       c.rip == 0x1003;
	tap_ok(good, "16-bit addresses wrap at 64K and use SS with BP");

	SETUP(&c, REAL, "\x8b\x40\xff");		/* mov ax, [bx+si-1] */
	c.seg[LUCID_SEG_DS].base = 0x10000;
	good = faults(&c, 13, false, 0);		/* FFFF, two bytes */
	SETUP(&c, REAL, "\x8b\x46\xff");		/* mov ax, [bp-1] */
	good &= faults(&c, 12, false, 0);
	SETUP(&c, VM86, "\x8b\x40\xff");
	good &= faults(&c, 13, true, 0);
	SETUP(&c, PROT16, "\x8b\x46\xff");
	good &= faults(&c, 12, true, 0);
	SETUP(&c, REAL, "\x8a\x40\xff");		/* mov al, [bx+si-1]: just within */
	c.seg[LUCID_SEG_DS].base = 0x10000;
	good &= ok(&c);
	tap_ok(good, "the limit holds; #GP or #SS, with an error code but in real mode");

	SETUP(&c, REAL, "\x67\x66\x8b\x04\x24");	/* mov eax, [esp], unreal limit */
	c.seg[LUCID_SEG_SS].limit = 0xffffffff;
	c.regs[4] = 0x12340;
	good = ok(&c) && c.regs[0] == *(u32 *)(ram + 0x2340);
	SETUP(&c, REAL, "\x2e\xa1\x00\x30");		/* mov ax, cs:[3000] */
	c.seg[LUCID_SEG_CS].base = 0x10000;
	good &= ok(&c) && (u16)c.regs[0] == *(u16 *)(ram + 0x3000);
	tap_ok(good, "32-bit addresses in real mode, segment overrides, moffs");
}

static void test_segments(void)
{
	struct lucid_emul_ctxt c;
	bool good = true;

	SETUP(&c, PROT32, "\x89\x03");			/* mov [ebx], eax */
	c.regs[3] = 0x10010;
	c.seg[LUCID_SEG_DS].type = 1;			/* read-only */
	good &= faults(&c, 13, true, 0);
	c.seg[LUCID_SEG_DS].type = 11;			/* code */
	good &= faults(&c, 13, true, 0);
	c.seg[LUCID_SEG_DS].type = 3;
	c.seg[LUCID_SEG_DS].unusable = 1;
	good &= faults(&c, 13, true, 0);
	c.seg[LUCID_SEG_DS].unusable = 0;
	c.regs[0] = 0x8765432112345678;
	good &= ok(&c) && *(u32 *)(ram + 0x10) == 0x12345678;
	SETUP(&c, PROT32, "\x8b\x03");			/* mov eax, [ebx] */
	c.regs[3] = 0x10010;
	c.seg[LUCID_SEG_DS].type = 9;			/* code, not readable */
	good &= faults(&c, 13, true, 0);
	c.seg[LUCID_SEG_DS].type = 11;
	good &= ok(&c);
	tap_ok(good, "rights of segments");

	SETUP(&c, PROT32, "\x8b\x03");
	c.seg[LUCID_SEG_DS].type = 7;			/* expand-down */
	c.seg[LUCID_SEG_DS].limit = 0x10fff;
	c.regs[3] = 0x10fff;
	good = faults(&c, 13, true, 0);
	c.regs[3] = 0x11000;
	good &= ok(&c);
	SETUP(&c, PROT32, "\x8b\x03");
	c.seg[LUCID_SEG_DS].type = 7;
	c.seg[LUCID_SEG_DS].limit = 0xfff;
	c.seg[LUCID_SEG_DS].db = 0;			/* up to 64K only */
	c.regs[3] = 0xfffd;
	good &= faults(&c, 13, true, 0);
	tap_ok(good, "expand-down segments");

	SETUP(&c, PROT32, "\x8b\x03");
	c.seg[LUCID_SEG_DS].base = 0x20000;
	c.regs[3] = 0xffff0040;				/* wraps to 0x10040 */
	good = ok(&c) && (u32)c.regs[0] == *(u32 *)(ram + 0x40);
	c.seg[LUCID_SEG_DS].limit = 0xffff003f;
	good &= faults(&c, 13, true, 0);
	tap_ok(good, "linear addresses wrap at 4G");
}

static void test_long(void)
{
	struct lucid_emul_ctxt c;
	bool good;

	SETUP(&c, LONG, "\x48\x8b\x03");		/* mov rax, [rbx] */
	c.regs[3] = 0x0000800000000000;
	good = faults(&c, 13, true, 0);
	c.regs[3] = 0x00007ffffffffffc;			/* its last bytes are not canonical */
	good &= faults(&c, 13, true, 0);
	c.la57 = true;
	good &= faults(&c, 14, true, 4) && c.fault.cr2 == 0x00007ffffffffffc;
	SETUP(&c, LONG, "\x48\x8b\x04\x24");		/* mov rax, [rsp] */
	c.regs[4] = 1ull << 63;
	good &= faults(&c, 12, true, 0);
	SETUP(&c, LONG, "\x65\x48\x8b\x04\x24");	/* mov rax, gs:[rsp] */
	c.regs[4] = 1ull << 63;
	good &= faults(&c, 13, true, 0);
	SETUP(&c, LONG, "\x49\x8b\x04\x24");		/* mov rax, [r12]: not the stack */
	c.regs[12] = 1ull << 63;
	good &= faults(&c, 13, true, 0);
	tap_ok(good, "canonical addresses, with 48 and 57 bits; #SS for the stack");

	SETUP(&c, LONG, "\x8b\x03");
	c.regs[3] = 0x10001;
	c.align_check = true;
	good = faults(&c, 17, true, 0);
	c.regs[3] = 0x10004;
	good &= ok(&c);
	tap_ok(good, "alignment check");
}

/* May this one byte be reached? The slow way to say what segments are. */
static bool byte_permitted(const struct lucid_emul_ctxt *c, unsigned int seg, u64 ea, bool write)
{
	const struct kvm_segment *s = &c->seg[seg];
	bool code = s->type & 8, expand_down = !code && s->type & 4, bit1 = s->type & 2;
	u64 linear = ea;
	unsigned int bit;

	if (c->mode == LUCID_EMUL_LONG) {
		if (seg >= LUCID_SEG_FS)
			linear += s->base;
		for (bit = c->la57 ? 57 : 48; bit < 64; bit++)
			if ((linear >> bit & 1) != (linear >> (c->la57 ? 56 : 47) & 1))
				return false;
		return true;
	}
	if (c->mode == LUCID_EMUL_PROT16 || c->mode == LUCID_EMUL_PROT32) {
		if (s->unusable || (write && (code || !bit1)) || (!write && code && !bit1))
			return false;
		if (expand_down)
			return ea > s->limit && !(ea >> (s->db ? 32 : 16));
	}
	return s->limit == ~0u || ea <= s->limit;
}

static void test_linear(unsigned int count)
{
	static const u64 edges[] = {
		0, 0xffff, 0x10000, 0xffffffff, 0x100000000, 1ull << 47, -(1ull << 47),
		1ull << 56, -(1ull << 56), 1ull << 48, 0x12345678,
	};
	static const u8 vectors[2] = { 13, 12 };
	unsigned int i, wrong = 0, permitted = 0, unaligned = 0;
	struct lucid_emul_ctxt c;

	for (i = 0; i < count; i++) {
		unsigned int seg = rnd_below(LUCID_SEG_NR), len = 1 << rnd_below(4), at;
		u64 ea = edges[rnd_below(sizeof(edges) / sizeof(*edges))] + rnd_below(20) - 10;
		u64 linear = 1, want;
		struct kvm_segment *s;
		bool write = rnd_below(2), good = true, aligned;
		int res;

		memset(&c, 0, sizeof(c));
		c.mode = rnd_below(5);
		c.la57 = rnd_below(2);
		c.align_check = !rnd_below(8);
		s = &c.seg[seg];
		s->base = rnd_below(2) ? rnd() >> (32 + rnd_below(32)) : 0;
		s->limit = edges[rnd_below(4)] + rnd_below(4) - 2;
		s->type = rnd_below(16);
		s->db = rnd_below(2);
		s->unusable = !rnd_below(8);
		if (c.mode != LUCID_EMUL_LONG)
			ea = (u32)ea;

		for (at = 0; at < len; at++)
			good &= byte_permitted(&c, seg, ea + at, write);
		want = ea;
		if (c.mode != LUCID_EMUL_LONG || seg >= LUCID_SEG_FS)
			want += s->base;
		if (c.mode != LUCID_EMUL_LONG)
			want = (u32)want;
		aligned = !c.align_check || want % len == 0;

		res = lucid_emul_linear(&c, seg, ea, len, write, &linear);
		if (good && aligned) {
			wrong += res != LUCID_EMUL_OK || linear != want;
			permitted++;
		} else {
			wrong += res != LUCID_EMUL_FAULT || c.fault.error_code || c.fault.cr2 ||
				 c.fault.vector != (good ? 17 : vectors[seg == LUCID_SEG_SS]) ||
				 c.fault.has_error_code != (c.mode != LUCID_EMUL_REAL);
			unaligned += good;
		}
		if (wrong) {
			tap_diag("mode %d seg %u ea %llx len %u limit %x type %x: %d", c.mode, seg,
				 (unsigned long long)ea, len, s->limit, s->type, res);
			break;
		}
	}
	tap_ok(!wrong && permitted > count / 10 && unaligned,
	       "%u random addresses at the edges of segments and of canonical space", count);
}

static void test_mmio(void)
{
	struct lucid_emul_ctxt c, before;
	u64 val = 0x1122334455667788;
	bool good;

	/* a load that begins in RAM and ends in MMIO */
	SETUP(&c, LONG, "\x48\x8b\x03");
	c.regs[3] = 0x10ffd;
	vm.mmio = 2;
	before = c;
	good = lucid_emul_run(&c) == LUCID_EMUL_MMIO_READ && c.nr_reads == 1 &&
	       c.reads[1].gpa == 0x1000 && c.reads[1].len == 5 &&
	       !memcmp(c.regs, before.regs, sizeof(c.regs)) && c.rip == before.rip;
	val = 0x5544332211;
	lucid_emul_mmio_answer(&c, &val);
	memset(ram, 0xee, sizeof(ram));		/* RAM has changed: the second run must not see it */
	vm.calls = 0;
	good &= ok(&c) && !vm.calls;
	good &= c.regs[0] == (0x5544332211000000ull | (u8)(0xfd ^ 0x0f) |
			      (u64)(u8)(0xfe ^ 0x0f) << 8 | (u64)(u8)(0xff ^ 0x0f) << 16);
	tap_ok(good, "a read of MMIO changes nothing until answered, and is replayed without callbacks");

	/* a load that begins in MMIO and would end in a fault, or in other MMIO */
	SETUP(&c, LONG, "\x48\x8b\x03");
	c.regs[3] = 0x1fffd;
	vm.mmio = 0x8000;
	good = faults(&c, 14, true, 4) && c.fault.cr2 == 0x20000;
	c.regs[3] = 0x1effd;
	vm.mmio = 0xc000;
	good &= lucid_emul_run(&c) == LUCID_EMUL_MMIO_READ && c.nr_reads == 0 &&
		c.reads[0].gpa == 0xeffd && c.reads[0].len == 3;
	lucid_emul_mmio_answer(&c, &val);
	good &= lucid_emul_run(&c) == LUCID_EMUL_MMIO_READ && c.nr_reads == 1 &&
		c.reads[1].gpa == 0xf000 && c.reads[1].len == 5;
	tap_ok(good, "userspace is not asked for MMIO when the rest of the read faults");

	/* a store over two pages of MMIO */
	SETUP(&c, LONG, "\x48\x89\x03");
	c.regs[3] = 0x10ffe;
	c.regs[0] = 0x1122334455667788;
	vm.mmio = 3;
	good = ok(&c) && c.nr_writes == 2 &&
	       c.writes[0].gpa == 0xffe && c.writes[0].len == 2 &&
	       c.writes[1].gpa == 0x1000 && c.writes[1].len == 6 &&
	       !memcmp(c.writes[0].data, "\x88\x77\0\0\0\0\0", 8) &&
	       !memcmp(c.writes[1].data, "\x66\x55\x44\x33\x22\x11\0", 8) && c.rip == 0x1003;
	tap_ok(good, "writes of MMIO are posted piece by piece, and the instruction is complete");

	/* a store whose second page faults does nothing to the first */
	SETUP(&c, LONG, "\x48\x89\x03");
	c.regs[3] = 0x10ffe;
	c.regs[0] = ~0ull;
	vm.mmio = 1;
	vm.fault_from = 0x11000;
	good = faults(&c, 14, true, 6) && c.fault.cr2 == 0x11000;
	vm.mmio = 0;
	good &= faults(&c, 14, true, 6) && ram[0xffe] == (u8)(0xfe ^ 0x0f);
	vm.mmio = 1;
	vm.fault_from = 0;
	vm.retry_from = 0x11000;
	before = c;
	good &= lucid_emul_run(&c) == LUCID_EMUL_RETRY && !c.nr_writes && c.rip == before.rip;
	vm.retry_from = 0;
	good &= ok(&c) && c.nr_writes == 1;
	tap_ok(good, "a write that faults on its second page leaves the first alone");
}

/* Long accesses, which no move makes yet. */
static void test_pieces(void)
{
	struct lucid_emul_ctxt c;
	u8 buf[20 * 8], want[sizeof(buf)];
	unsigned int i;
	bool good;

	SETUP(&c, LONG, "\x8b\x03");
	memcpy(want, ram + 0xff5, 20);
	good = lucid_emul_read(&c, 0x10ff5, buf, 20) == LUCID_EMUL_OK && !memcmp(buf, want, 20) &&
	       c.nr_reads == 4 && c.reads[0].len == 8 && c.reads[1].len == 3 &&
	       c.reads[2].len == 8 && c.reads[3].len == 1;
	memset(buf, 0xa5, 20);
	good &= lucid_emul_write(&c, 0x12ff0, buf, 20) == LUCID_EMUL_OK &&
		!memcmp(ram + 0x2ff0, buf, 20) && ram[0x2fef] != 0xa5 && ram[0x3004] != 0xa5;
	good &= !vm.crossed && vm.longest == 8;
	tap_ok(good, "long accesses go in pieces of 8 bytes that end with the page");

	SETUP(&c, PROT32, "\x8b\x03");
	vm.base = 0xfffff000;			/* two pages, one on each side of 4G: */
	vm.size = 0x2000;			/* the second would be at 0 */
	good = lucid_emul_read(&c, 0xfffffffe, buf, 4) == LUCID_EMUL_FAULT &&
	       c.fault.cr2 == 0 && c.nr_reads == 1;
	tap_ok(good, "outside 64-bit mode the page after the last is the first");

	SETUP(&c, LONG, "\x8b\x03");
	good = lucid_emul_read(&c, 0x10000, buf, 16 * 8) == LUCID_EMUL_OK &&
	       lucid_emul_read(&c, 0x10000, buf, 1) == LUCID_EMUL_UNHANDLEABLE;
	vm.mmio = ~0u;
	good &= lucid_emul_write(&c, 0x10000, buf, 16 * 8) == LUCID_EMUL_OK && c.nr_writes == 16 &&
		lucid_emul_write(&c, 0x10000, buf, 1) == LUCID_EMUL_UNHANDLEABLE;
	for (i = 0; i < 16; i++)
		good &= c.writes[i].gpa == 8 * i;
	tap_ok(good, "more pieces than there is room for are unhandleable");

	SETUP(&c, LONG, "\x66\x63\x03");		/* movsxd ax, word [rbx] */
	c.regs[3] = 0x10000;
	good = ok(&c) && vm.longest == 2;
	SETUP(&c, LONG, "\x48\x63\x03");		/* movsxd rax, dword [rbx] */
	c.regs[3] = 0x10000;
	good &= ok(&c) && vm.longest == 4;
	tap_ok(good, "MOVSXD reads no more than it needs");
}

/* Run as userspace would, until it is done; the number of runs. */
static unsigned int finish(struct lucid_emul_ctxt *c, int *res)
{
	unsigned int n = 0, reads;
	u64 rip = c->rip;

	do {
		*res = emulate(c, &reads);
	} while (++n < 1000 && *res == LUCID_EMUL_OK && c->rip == rip);
	return n;
}

static void test_rep(void)
{
	struct lucid_emul_ctxt c, before;
	unsigned int n;
	bool good;
	int res;

	/* more than a run does, in RAM */
	SETUP(&c, LONG, "\xf3\xaa");			/* rep stosb */
	c.regs[7] = 0x10000;
	c.regs[1] = 1000;
	good = ok(&c) && c.rip == 0x1000 && c.regs[1] > 0 && c.regs[1] < 1000 &&
	       c.regs[7] == 0x10000 + 1000 - c.regs[1];
	n = finish(&c, &res);
	good &= res == LUCID_EMUL_OK && n > 1 && !c.regs[1] && c.regs[7] == 0x10000 + 1000 && c.rip == 0x1002;
	tap_ok(good, "REP goes on in bounded runs, with RIP where it was until the last");

	SETUP(&c, LONG, "\xf3\xaa");
	c.regs[7] = 0x10000;
	c.regs[1] = 5;
	c.rflags |= 0x100;
	good = ok(&c) && c.rip == 0x1000 && c.regs[1] == 4;
	tap_ok(good, "with TF it goes on step by step");

	/* the first page is RAM, the second faults */
	SETUP(&c, LONG, "\xf3\xaa");
	c.regs[7] = 0x10ffd;
	c.regs[1] = 10;
	vm.fault_from = 0x11000;
	good = ok(&c) && c.rip == 0x1000 && c.regs[1] == 7 && c.regs[7] == 0x11000;
	good &= faults(&c, 14, true, 6) && c.fault.cr2 == 0x11000;
	tap_ok(good, "what REP has done before a fault stays done; the next run meets the fault");

	/* from MMIO to MMIO: the read is asked for once, then it is written */
	SETUP(&c, LONG, "\xf3\xa4");			/* rep movsb */
	c.regs[6] = 0x10000;
	c.regs[7] = 0x11000;
	c.regs[1] = 3;
	vm.mmio = 3;
	before = c;
	good = lucid_emul_run(&c) == LUCID_EMUL_MMIO_READ && c.reads[0].gpa == 0 && c.reads[0].len == 1 &&
	       !memcmp(c.regs, before.regs, sizeof(c.regs));
	lucid_emul_mmio_answer(&c, "\x77");
	good &= lucid_emul_run(&c) == LUCID_EMUL_OK && c.nr_writes == 1 && c.writes[0].data[0] == 0x77 &&
		c.writes[0].gpa == 0x1000 && c.regs[1] == 2 && c.rip == 0x1000;
	n = finish(&c, &res);
	good &= res == LUCID_EMUL_OK && c.rip == 0x1002 && n == 2 && !c.regs[1];
	SETUP(&c, LONG, "\xa4");
	c.regs[6] = 0x10000;
	c.regs[7] = 0x20000;
	vm.mmio = 1;
	good &= faults(&c, 14, true, 6) && c.fault.cr2 == 0x20000;
	tap_ok(good, "a string move between devices goes unit by unit, and asks only if it can write");

	SETUP(&c, LONG, "\xf3\xab");			/* rep stosd: posted, as many as there is room for */
	c.regs[7] = 0x10000;
	c.regs[1] = 100;
	vm.mmio = ~0u;
	good = ok(&c) && c.nr_writes > 8 && c.nr_writes <= 16 && c.regs[1] == 100u - c.nr_writes;
	tap_ok(good, "REP STOS to a device posts many writes in one run");
}

static void test_rmw(void)
{
	struct lucid_emul_ctxt c;
	u32 val = 0x10;
	bool good;

	SETUP(&c, LONG, "\x01\x03");			/* add [rbx], eax */
	c.regs[3] = 0x10000;
	c.regs[0] = 5;
	vm.mmio = 1;
	good = lucid_emul_run(&c) == LUCID_EMUL_MMIO_READ;
	lucid_emul_mmio_answer(&c, &val);
	good &= ok(&c) && c.nr_writes == 1 && c.writes[0].len == 4 && c.writes[0].data[0] == 0x15;
	tap_ok(good, "a read-modify-write of MMIO is one read and one posted write");

	SETUP(&c, LONG, "\x01\x03");
	c.regs[3] = 0x10000;
	vm.mmio = 1;
	vm.fault_from = 0x10000;
	good = faults(&c, 14, true, 6);
	tap_ok(good, "it faults as a write, before the device is read");

	SETUP(&c, LONG, "\xf0\x0f\xb1\x0b");		/* lock cmpxchg [rbx], ecx */
	c.regs[3] = 0x10000;
	c.regs[0] = *(u32 *)ram;
	c.regs[1] = 0x1234;
	vm.contended = true;
	good = lucid_emul_run(&c) == LUCID_EMUL_RETRY && *(u32 *)ram != 0x1234;
	vm.contended = false;
	good &= ok(&c) && *(u32 *)ram == 0x1234 && vm.locked == 1;
	SETUP(&c, LONG, "\x87\x03");			/* xchg: locked without saying so */
	c.regs[3] = 0x10000;
	good &= ok(&c) && vm.locked == 1;
	c.regs[3] = 0x10ffe;				/* and not over two pages */
	c.rip = 0x1000;
	lucid_emul_begin(&c);
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	tap_ok(good, "a LOCKed one is done at once, or tried again");

	SETUP(&c, LONG, "\xa4");			/* movsb */
	c.regs[6] = 0x10000;
	c.regs[7] = 0x11000;
	ops.one_access = true;
	good = lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\xff\x33");			/* push [rbx] */
	c.regs[3] = 0x10000;
	c.regs[4] = 0x11000;
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\x8f\x03");			/* pop [rbx] */
	c.regs[3] = 0x10000;
	c.regs[4] = 0x11000;
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\xf6\x03\x01");		/* test byte [rbx], 1 */
	c.regs[3] = 0x10000;
	good &= ok(&c);
	ops.one_access = false;
	tap_ok(good, "with one access allowed, instructions that make two are not done");
}

/* Descriptors, as in memory: base 0x12345678. */
static u64 the_desc;
static unsigned int marked;

static int get_desc(struct lucid_emul_ctxt *c, u16 selector, u64 *desc)
{
	*desc = the_desc;
	return LUCID_EMUL_OK;
}

static int mark(struct lucid_emul_ctxt *c, u16 selector)
{
	marked++;
	return LUCID_EMUL_OK;
}

static u64 descriptor(unsigned int access, unsigned int flags)
{
	return 0xabcd | 0x345678ull << 16 | (u64)access << 40 | 0xfull << 48 | (u64)flags << 52 |
	       0x12ull << 56;
}

static void test_segment_loads(void)
{
	/* access byte, selector, CPL, into SS: vector or 0 */
	static const struct { u8 access; u16 sel; u8 cpl; bool ss; int vector; } cases[] = {
		{ 0x93, 0x10, 0, false, 0 }, { 0x92, 0x10, 0, false, 0 }, { 0x91, 0x10, 0, false, 0 },
		{ 0x9b, 0x10, 0, false, 0 }, { 0x99, 0x10, 0, false, 13 },	/* code that cannot be read */
		{ 0x13, 0x10, 0, false, 11 }, { 0x83, 0x10, 0, false, 13 },	/* absent; a system one */
		{ 0x93, 0x13, 0, false, 13 }, { 0xf3, 0x13, 0, false, 0 },	/* RPL above DPL */
		{ 0x93, 0x10, 3, false, 13 }, { 0x9f, 0x13, 3, false, 0 },	/* conforming code */
		{ 0x93, 0x10, 0, true, 0 }, { 0x91, 0x10, 0, true, 13 }, { 0x9b, 0x10, 0, true, 13 },
		{ 0x13, 0x10, 0, true, 12 }, { 0xf3, 0x13, 0, true, 13 }, { 0xf3, 0x13, 3, true, 0 },
		{ 0x93, 0x00, 0, false, 0 }, { 0x93, 0x03, 3, false, 0 }, { 0x93, 0x00, 0, true, 13 },
	};
	struct lucid_emul_ctxt c;
	unsigned int i, wrong = 0;
	bool good;

	ops.read_desc = get_desc;
	ops.mark_accessed = mark;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned int seg = cases[i].ss ? LUCID_SEG_SS : LUCID_SEG_ES;

		if (cases[i].ss)
			SETUP(&c, PROT32, "\x8e\xd0");	/* mov ss, ax */
		else
			SETUP(&c, PROT32, "\x8e\xc0");	/* mov es, ax */
		the_desc = descriptor(cases[i].access, 0xc);
		c.cpl = cases[i].cpl;
		c.regs[0] = cases[i].sel;
		marked = 0;
		if (cases[i].vector) {
			good = faults(&c, cases[i].vector, true, cases[i].sel & ~3u) && !c.effects;
		} else {
			good = ok(&c) && c.effects == (1u << seg | (cases[i].ss ? LUCID_EMUL_SHADOW : 0)) &&
			       c.seg[seg].selector == cases[i].sel;
			if (cases[i].sel & ~3u)
				good &= c.seg[seg].base == 0x12345678 && c.seg[seg].limit == 0xfabcdfff &&
					c.seg[seg].db && c.seg[seg].type == ((cases[i].access & 15) | 1) &&
					marked == !(cases[i].access & 1);
			else
				good &= c.seg[seg].unusable && !marked;
		}
		if (!good && !wrong++)
			tap_diag("case %u", i);
	}
	tap_ok(!wrong, "segment registers are loaded with all checks of descriptors");

	SETUP(&c, REAL, "\x8e\xd8");			/* mov ds, ax */
	c.seg[LUCID_SEG_DS].limit = 0xffffffff;
	c.regs[0] = 0x1234;
	good = ok(&c) && c.seg[LUCID_SEG_DS].base == 0x12340 && c.seg[LUCID_SEG_DS].selector == 0x1234 &&
	       c.seg[LUCID_SEG_DS].limit == 0xffffffff && c.effects == 1u << LUCID_SEG_DS;
	tap_ok(good, "in real mode only the base follows the selector");
	ops.read_desc = NULL;
	ops.mark_accessed = NULL;
}

static void test_privilege(void)
{
	static const struct { const char *bytes; unsigned int len; } insns[] = {
		{ "\xf4", 1 }, { "\x0f\x06", 2 }, { "\x0f\x09", 2 }, { "\x0f\x20\xc0", 3 },
		{ "\x0f\x22\xc0", 3 }, { "\x0f\x23\xc0", 3 }, { "\x0f\x30", 2 }, { "\x0f\x32", 2 },
	};
	struct lucid_emul_ctxt c;
	unsigned int i;
	bool good = true;

	for (i = 0; i < sizeof(insns) / sizeof(*insns); i++) {
		setup(&c, LUCID_EMUL_LONG, insns[i].bytes, insns[i].len);
		c.cpl = 3;
		good &= faults(&c, 13, true, 0);
	}
	SETUP(&c, PROT32, "\xfa");			/* cli */
	c.cpl = 3;
	good &= faults(&c, 13, true, 0);
	c.rflags |= 0x3200;
	good &= ok(&c) && !(c.rflags & 0x200);
	SETUP(&c, PROT32, "\xfb");			/* sti */
	good &= ok(&c) && c.rflags & 0x200 && c.effects == LUCID_EMUL_SHADOW;
	SETUP(&c, VM86, "\x9c");			/* pushf, IOPL 0 */
	c.cpl = 3;
	good &= faults(&c, 13, true, 0);
	SETUP(&c, PROT32, "\x9d");			/* popf at CPL 3: neither IF nor IOPL */
	c.cpl = 3;
	c.regs[4] = 0x10000;
	*(u32 *)ram = 0x3ed7;
	good &= ok(&c) && c.rflags == 0xcd7;
	tap_ok(good, "what needs privilege is #GP without, and what needs IOPL");
}

static void test_unhandled(void)
{
	struct lucid_emul_ctxt c;
	bool good;

	SETUP(&c, LONG, "\xd8\x03");			/* fadd dword [rbx] */
	good = lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\x0f\x30");			/* wrmsr, without a callback */
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\xc5\xf8\x10\x03");		/* vmovups: opcode 10, but VEX */
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	SETUP(&c, LONG, "\xc6\xf8\x00");		/* xabort */
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE && c.rip == 0x1000;
	SETUP(&c, LONG, "\x66\x0f\x38\x00\x03");	/* pshufb */
	good &= lucid_emul_run(&c) == LUCID_EMUL_UNHANDLEABLE;
	tap_ok(good, "an unknown instruction is unhandleable and changes nothing");
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 0) : 300000;

	rnd_seed(42);
	test_native(count);
	test_16bit();
	test_segments();
	test_long();
	test_linear(count);
	test_mmio();
	test_pieces();
	test_rep();
	test_rmw();
	test_segment_loads();
	test_privilege();
	test_unhandled();
	return tap_done();
}

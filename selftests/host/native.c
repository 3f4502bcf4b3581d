// SPDX-License-Identifier: GPL-2.0
/* See native.h. A trampoline for each mode is written once; an instruction is
 * copied into its slot with a jump to the way out behind it.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"

#define HOST_CS		0x33
#define HOST_SS		0x2b

struct native *nat;
struct kvm_segment native_seg[LUCID_SEG_NR];

static u8 *next_code;
static u8 *exits[3], *exit_fault;
static enum lucid_emul_mode mode;

static void put(const void *bytes, unsigned int n)
{
	memcpy(next_code, bytes, n);
	next_code += n;
}
#define PUT(bytes)	put(bytes, sizeof(bytes) - 1)

static void put32(const void *p)
{
	u32 val = (uintptr_t)p;

	put(&val, 4);
}

/* An instruction with [disp32] for its memory operand. */
static void put_mem(const char *bytes, unsigned int n, unsigned int reg, const void *mem)
{
	u8 modrm[2] = { (reg & 7) << 3 | 4, 0x25 };

	put(bytes, n);
	put(modrm, 2);
	put32(mem);
}

static void put_regs(u8 opcode, u64 *regs, bool sp_too)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		char insn[2] = { 0x48 | (i & 8) >> 1, opcode };

		if (i != 4 || sp_too)
			put_mem(insn, 2, i, &regs[i]);
	}
}

static void put_xmm(u8 opcode, u8 (*xmm)[16])
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		char insn[3] = { 0x40 | (i & 8) >> 1, 0x0f, opcode };

		put_mem(insn, 3, i, xmm[i]);
	}
}

static void put_jump(const u8 *to)
{
	u32 rel = to - (next_code + 5);

	PUT("\xe9");
	put(&rel, 4);
}

static void put_leave(void)
{
	put_mem("\x8e", 1, 2, &nat->host_ss);		/* mov ss: no interrupt until RSP is right too */
	put_mem("\x48\x8b", 2, 4, &nat->host_rsp);
	PUT("\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3");
}

static void write_trampolines(void)
{
	u8 *common;
	unsigned int i;

	next_code = nat->code;				/* the way in */
	PUT("\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57");
	put_mem("\x48\x89", 2, 4, &nat->host_rsp);
	put_xmm(0x10, nat->in_xmm);
	put_regs(0x8b, nat->in, false);
	put_mem("\xff", 1, 6, &nat->in_flags);		/* push */
	PUT("\x9d");
	put_mem("\x8e", 1, 2, &nat->ss);
	put_mem("\x48\x8b", 2, 4, &nat->in[4]);
	put_mem("\xff", 1, 5, &nat->entry);		/* jmp far */

	common = next_code;				/* the way out */
	put_regs(0x89, nat->out, true);
	put_mem("\x8e", 1, 2, &nat->host_ss);
	put_mem("\x48\x8b", 2, 4, &nat->host_rsp);
	PUT("\x9c");
	put_mem("\x8f", 1, 0, &nat->out_flags);
	put_xmm(0x11, nat->out_xmm);
	put_leave();
	for (i = 0; i < 3; i++) {
		exits[i] = next_code;
		put_mem("\xc6", 1, 0, &nat->where);	/* mov byte */
		put(&i, 1);
		put_jump(common);
	}
	exit_fault = next_code;
	put_leave();
}

/* A jump from the mode under test to a way out. */
static void put_exit(unsigned int which)
{
	u16 cs = HOST_CS;

	if (mode == LUCID_EMUL_LONG) {
		put_jump(exits[which]);
		return;
	}
	if (mode == LUCID_EMUL_PROT16)
		PUT("\x66");
	PUT("\xea");
	put32(exits[which]);
	put(&cs, 2);
}

static void on_fault(int sig, siginfo_t *info, void *ctx)
{
	static const u8 order[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	ucontext_t *uc = ctx;
	greg_t *regs = uc->uc_mcontext.gregs;
	unsigned int i;
	u64 at = regs[REG_RIP];

	if (mode == LUCID_EMUL_LONG)
		at -= (uintptr_t)nat->code;
	if (at != NATIVE_SLOT) {		/* not the instruction's: die of it */
		dprintf(1, "# stray exception %lld at %llx, code", (long long)regs[REG_TRAPNO],
			(long long)regs[REG_RIP]);
		for (i = 0; i < 16; i++)
			dprintf(1, " %02x", nat->code[NATIVE_SLOT + i]);
		dprintf(1, " csgsfs %llx cr2 %llx\n", (long long)regs[REG_CSGSFS], (long long)regs[REG_CR2]);
		for (i = 0; i < 16; i++)
			dprintf(1, "#   r%u %llx\n", i, (long long)regs[order[i]]);
		signal(sig, SIG_DFL);
		return;
	}
	for (i = 0; i < 16; i++)
		nat->out[i] = regs[order[i]];
	nat->out_flags = regs[REG_EFL];
	nat->vector = regs[REG_TRAPNO];
	regs[REG_RIP] = (uintptr_t)exit_fault;
	regs[REG_RSP] = nat->host_rsp;
	regs[REG_EFL] &= ~0x400;
	regs[REG_CSGSFS] = (regs[REG_CSGSFS] & 0x0000ffffffff0000) | HOST_CS | (u64)HOST_SS << 48;
}

const char *native_init(void)
{
	static u8 stack[64 * 1024];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	unsigned int i;

	nat = mmap(NULL, sizeof(*nat), PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (nat == MAP_FAILED)
		return "no executable memory below 2G";
	mprotect(nat->guard, sizeof(nat->guard), PROT_NONE);
	mprotect(nat->guard2, sizeof(nat->guard2), PROT_NONE);
	sigaltstack(&ss, NULL);
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &sa, NULL);
	nat->host_ss = HOST_SS;
	write_trampolines();
	return NULL;
}

/* LDT entry @n; limit in bytes, rounded up to pages if it is large. */
static bool set_ldt(unsigned int n, u32 base, u32 limit, bool code, bool big,
		    struct kvm_segment *s)
{
	struct user_desc d = {
		.entry_number = n, .base_addr = base, .seg_32bit = big, .useable = 1,
		.contents = code ? 2 : 0, .limit_in_pages = limit > 0xfffff,
		.limit = limit > 0xfffff ? limit >> 12 : limit,
	};

	memset(s, 0, sizeof(*s));
	s->base = base;
	s->limit = limit;
	s->selector = n << 3 | 7;
	s->type = code ? 11 : 3;
	s->present = s->s = 1;
	s->dpl = 3;
	s->db = big;
	return !syscall(SYS_modify_ldt, 1, &d, sizeof(d));
}

const char *native_mode(enum lucid_emul_mode new_mode)
{
	bool is32 = new_mode == LUCID_EMUL_PROT32, good;
	u32 buf = (uintptr_t)nat->buf, end = buf + NATIVE_BUF - 1, code = (uintptr_t)nat->code;
	u64 base;

	mode = new_mode;
	memset(native_seg, 0, sizeof(native_seg));
	if (mode == LUCID_EMUL_LONG) {
		syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
		native_seg[LUCID_SEG_FS].base = base;
		syscall(SYS_arch_prctl, ARCH_SET_GS, native_seg[LUCID_SEG_GS].base = 0x1230);
		native_seg[LUCID_SEG_CS].selector = HOST_CS;
		native_seg[LUCID_SEG_SS].selector = HOST_SS;
		nat->entry.selector = HOST_CS;
		nat->entry.offset = code + NATIVE_SLOT;
		nat->ss = HOST_SS;
	} else {
		/* DS and SS end with the buffer, ES has a base above it, GS is small. */
		good = set_ldt(1, code, 0xfff, true, is32, &native_seg[LUCID_SEG_CS]) &&
		       set_ldt(2, buf - 0x4000, end - (buf - 0x4000), false, true,
			       &native_seg[LUCID_SEG_DS]) &&
		       set_ldt(3, is32 ? buf + 0x12345 : buf - 0x5000, is32 ? ~0u : 0xffff, false,
			       true, &native_seg[LUCID_SEG_ES]) &&
		       set_ldt(4, buf - 0x8000, end - (buf - 0x8000), false, is32,
			       &native_seg[LUCID_SEG_SS]) &&
		       set_ldt(5, buf - 0x1230, 0xffff, false, true, &native_seg[LUCID_SEG_GS]);
		if (!good)
			return "no modify_ldt()";
		native_seg[LUCID_SEG_FS].unusable = 1;	/* glibc's, null to 32-bit code */
		asm volatile("mov %0, %%ds" : : "r" (native_seg[LUCID_SEG_DS].selector));
		asm volatile("mov %0, %%es" : : "r" (native_seg[LUCID_SEG_ES].selector));
		asm volatile("mov %0, %%gs" : : "r" (native_seg[LUCID_SEG_GS].selector));
		nat->entry.selector = native_seg[LUCID_SEG_CS].selector;
		nat->entry.offset = NATIVE_SLOT;
		nat->ss = native_seg[LUCID_SEG_SS].selector;
	}
	next_code = nat->code + NATIVE_AFTER;
	put_exit(1);
	next_code = nat->code + NATIVE_BEFORE;
	put_exit(2);
	return NULL;
}

void native_run(const struct lucid_insn *insn)
{
	nat->vector = -1;
	next_code = nat->code + NATIVE_SLOT;
	put(insn->bytes, insn->len);
	put_exit(0);
	((void (*)(void))(uintptr_t)nat->code)();
}

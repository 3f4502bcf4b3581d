// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory by linear address: fetching the instruction that caused an
 * exit, and what the emulator reads and writes.
 *
 * Two ways lead to guest memory.  With interrupts off, in a stay, through the
 * nested tables (lucid_mem_peek_ptr): the guest has just executed from there, so
 * its code and its page tables are nearly always mapped.  Outside, through the
 * process's memory (lucid_mem_read), which may fault and sleep.
 */
#include <asm/processor-flags.h>

#include "../lucid.h"
#include "decode.h"
#include "step.h"
#include "walk.h"

#define PTE_DIRTY	(1u << 6)
#define NOT_AHEAD	(1ull << 63)	/* io.ahead_linear: never canonical, nor below 4G */

/* ---- the guest's own page tables ----------------------------------------------- */

static int walk_peek(const struct lucid_walk *w, u64 gpa, u64 *val, unsigned int size)
{
	struct lucid_vcpu *vcpu = w->ctx;
	const void *pte = lucid_mem_peek_ptr(&vcpu->vm->mem, gpa);

	if (!pte)
		return -EAGAIN;
	*val = size == 8 ? READ_ONCE(*(const u64 *)pte) : READ_ONCE(*(const u32 *)pte);
	return 0;
}

static int walk_read(const struct lucid_walk *w, u64 gpa, u64 *val, unsigned int size)
{
	struct lucid_vcpu *vcpu = w->ctx;
	int r;

	*val = 0;
	r = lucid_mem_read(vcpu->vm, gpa, val, size);
	return r > 0 ? -EFAULT : r;	/* page tables in MMIO are not supported */
}

static int walk_cmpxchg(const struct lucid_walk *w, u64 gpa, u64 old, u64 new, unsigned int size)
{
	struct lucid_vcpu *vcpu = w->ctx;

	return lucid_mem_cmpxchg(vcpu->vm, gpa, &old, &new, size);	/* little-endian: 4 or 8 */
}

static const struct lucid_walk_ops walk_ops_peek = { .read_pte = walk_peek };
static const struct lucid_walk_ops walk_ops = {
	.read_pte = walk_read,
	.cmpxchg_pte = walk_cmpxchg,
};

static void walk_init(struct lucid_vcpu *vcpu, struct lucid_walk *w, bool atomic)
{
	*w = (struct lucid_walk) {
		.ops = atomic ? &walk_ops_peek : &walk_ops,
		.ctx = vcpu,
		.cr3 = lucid_hw_get_cr3(vcpu),
		.maxphyaddr = vcpu->cpuid.maxphyaddr,
		.pse = vcpu->cr4 & X86_CR4_PSE,
		.wp = vcpu->cr0 & X86_CR0_WP,
		.nxe = vcpu->efer & EFER_NX,
		.smep = vcpu->cr4 & X86_CR4_SMEP,
		.smap = vcpu->cr4 & X86_CR4_SMAP,
		.ac = lucid_hw_get_rflags(vcpu) & X86_EFLAGS_AC,
		.gbpages = vcpu->cpuid.has_gbpages,
		.rsvd_bit8 = boot_cpu_data.x86_vendor != X86_VENDOR_INTEL,
	};
	if (!(vcpu->cr0 & X86_CR0_PG))
		w->paging = LUCID_PAGING_NONE;
	else if (vcpu->efer & EFER_LMA)
		w->paging = vcpu->cr4 & X86_CR4_LA57 ? LUCID_PAGING_5 : LUCID_PAGING_4;
	else
		w->paging = vcpu->cr4 & X86_CR4_PAE ? LUCID_PAGING_PAE : LUCID_PAGING_32;
}

/* Return: 0, 1 with *error the page fault's code, or a negative errno. */
static int translate(struct lucid_vcpu *vcpu, u64 linear, u32 access, bool atomic,
		     u64 *gpa, u32 *error)
{
	struct lucid_walk_result res;
	struct lucid_walk w;
	int r;

	walk_init(vcpu, &w, atomic);
	do {
		r = lucid_walk(&w, linear, access, &res);
	} while (r == LUCID_WALK_RETRY && !signal_pending(current));
	if (r == LUCID_WALK_FAULT)
		*error = res.error_code;
	else if (!r)
		*gpa = res.gpa;
	return r == LUCID_WALK_RETRY ? -EINTR : r;
}

/**
 * lucid_translate - the ioctl KVM_TRANSLATE
 * @vcpu: the vCPU
 * @t: in: linear address; out: what the guest's tables say, no rights checked
 *
 * Return: 0.
 */
int lucid_translate(struct lucid_vcpu *vcpu, struct kvm_translation *t)
{
	u32 error;
	u64 gpa = ~0ull;

	t->valid = !translate(vcpu, t->linear_address, LUCID_ACC_ANY | LUCID_ACC_NO_AD,
			      false, &gpa, &error);
	t->physical_address = gpa;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

/* ---- the instruction at RIP ------------------------------------------------------- */

static bool in_64bit_mode(struct lucid_vcpu *vcpu, struct kvm_segment *cs)
{
	lucid_hw_get_seg(vcpu, LUCID_SEG_CS, cs);
	return (vcpu->efer & EFER_LMA) && cs->l;
}

/*
 * Where the code at @linear stands in host memory, up to the end of its page.
 * The guest has just executed it, so no rights are checked.  4- and 5-level
 * paging, the case that matters, is walked right here.
 * Context: interrupts off, in a stay.
 */
static const u8 *code_ptr(struct lucid_vcpu *vcpu, u64 linear)
{
	struct lucid_vm *vm = vcpu->vm;
	u32 error;
	u64 gpa;

	if (likely(vcpu->efer & EFER_LMA)) {
		u64 table = lucid_hw_get_cr3(vcpu);
		int level = vcpu->cr4 & X86_CR4_LA57 ? 5 : 4;

		for (;; level--) {
			int shift = 12 + 9 * (level - 1);
			const u64 *pte = lucid_mem_peek_ptr(&vm->mem,
							    (table & 0x000ffffffffff000ull) |
							    (linear >> shift & 0x1ff) << 3);
			u64 mask = (1ull << shift) - 1;

			if (!pte)
				return NULL;
			table = READ_ONCE(*pte);
			if (!(table & 1))
				return NULL;
			if (level == 1 || (table & 0x80)) {
				gpa = (table & 0x000fffffffffffffull & ~mask) | (linear & mask);
				break;
			}
		}
	} else if (translate(vcpu, linear, LUCID_ACC_ANY | LUCID_ACC_NO_AD, true, &gpa, &error)) {
		return NULL;
	}
	return lucid_mem_peek_ptr(&vm->mem, gpa);
}

/*
 * Up to 15 bytes from @linear on, as many as can be had.
 * Return: their number; 0 with an exception queued; -EAGAIN: not in atomic
 * context; -EFAULT: they are no RAM.
 */
static int fetch_bytes(struct lucid_vcpu *vcpu, u64 linear, u8 *buf, bool atomic)
{
	u32 access = LUCID_ACC_FETCH | LUCID_ACC_NO_AD, error;
	unsigned int done = 0;

	if (lucid_hw_get_cpl(vcpu) == 3)
		access |= LUCID_ACC_USER;
	while (done < LUCID_INSN_MAX_LEN) {
		u64 at = linear + done, gpa;
		unsigned int n = min_t(unsigned int, LUCID_INSN_MAX_LEN - done,
				       PAGE_SIZE - offset_in_page(at));
		int r;

		if (atomic) {
			const u8 *p = code_ptr(vcpu, at);

			if (!p)
				return done ? done : -EAGAIN;
			memcpy(buf + done, p, n);
		} else {
			r = translate(vcpu, at, access, false, &gpa, &error);
			if (r > 0 && !done) {
				lucid_queue_page_fault(vcpu, at, error);
				return 0;
			}
			if (!r)
				r = lucid_mem_read(vcpu->vm, gpa, buf + done, n);
			if (r)
				return done ? done : r > 0 ? -EFAULT : r;
		}
		done += n;
	}
	return done;
}

/**
 * lucid_fetch_insn - fetch and decode the instruction at RIP
 * @vcpu: the vCPU
 * @insn: the result
 * @atomic: interrupts are off: only what the nested tables map
 *
 * Return: LUCID_REENTER with @insn filled in; LUCID_SLOW: call again outside;
 * LUCID_REENTER_IRQ: an exception was queued instead, or it must be run again;
 * -EFAULT: the code is not in memory; -EILSEQ: it is undefined; -E2BIG: it is
 * too long.
 */
int lucid_fetch_insn(struct lucid_vcpu *vcpu, struct lucid_insn *insn, bool atomic)
{
	struct kvm_segment cs;
	bool is64 = in_64bit_mode(vcpu, &cs);
	u64 linear = is64 ? lucid_hw_get_rip(vcpu) : (u32)(cs.base + lucid_hw_get_rip(vcpu));
	u8 buf[LUCID_INSN_MAX_LEN];
	int n, r;

	n = fetch_bytes(vcpu, linear, buf, atomic);
	if (n == -EAGAIN)
		return LUCID_SLOW;
	if (n <= 0)
		return n ? n : LUCID_REENTER_IRQ;
	r = lucid_insn_decode(insn, buf, n,
			      is64 ? LUCID_INSN_64 : cs.db ? LUCID_INSN_32 : LUCID_INSN_16,
			      boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? 0 : LUCID_INSN_AMD);
	if (r > 0)
		return LUCID_REENTER;
	/*
	 * It goes on in the next page, which is not there for us: outside it can
	 * be had, and what cannot even then is not what the CPU had executed.
	 */
	if (atomic)
		return LUCID_SLOW;
	if (r == -LUCID_INSN_MORE)
		return LUCID_REENTER_IRQ;
	return r == -LUCID_INSN_INVALID ? -EILSEQ : -E2BIG;
}

/* Instructions without operands that the CPU may intercept: their opcodes. */
static const struct { u8 len, bytes[3]; } fixed_insns[LUCID_I_NR] = {
	[LUCID_I_CPUID]	  = { 2, { 0x0f, 0xa2 } },
	[LUCID_I_RDMSR]	  = { 2, { 0x0f, 0x32 } },
	[LUCID_I_WRMSR]	  = { 2, { 0x0f, 0x30 } },
	[LUCID_I_INVD]	  = { 2, { 0x0f, 0x08 } },
	[LUCID_I_WBINVD]  = { 2, { 0x0f, 0x09 } },
	[LUCID_I_HLT]	  = { 1, { 0xf4 } },
	[LUCID_I_VMMCALL] = { 3, { 0x0f, 0x01, 0xd9 } },
	[LUCID_I_MONITOR] = { 3, { 0x0f, 0x01, 0xc8 } },
	[LUCID_I_MWAIT]	  = { 3, { 0x0f, 0x01, 0xc9 } },
	[LUCID_I_XSETBV]  = { 3, { 0x0f, 0x01, 0xd1 } },
};

static bool is_prefix(u8 byte, bool is64)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
	case 0x66: case 0x67: case 0xf2: case 0xf3:
		return true;
	}
	return is64 && (byte & 0xf0) == 0x40;
}

static bool is_opcode(const u8 *p, int id)
{
	const u8 *want = fixed_insns[id].bytes;
	u8 len = fixed_insns[id].len;

	return p[0] == want[0] && (len < 2 || p[1] == want[1]) && (len < 3 || p[2] == want[2]);
}

/**
 * lucid_fetch_length - how long is the instruction that was just intercepted?
 * @vcpu: the vCPU, at the instruction
 * @id: what the exit says it is (enum lucid_insn_id), one of the above
 * @atomic: interrupts are off
 *
 * For CPUs that do not tell.  The CPU has decoded it, so prefixes are whatever
 * they are and only the opcode has to be found; without a prefix, as nearly
 * always, two or three bytes are compared where they stand.
 * Return: the length; 0: something else stands there now (another vCPU changed
 * it) or an exception was queued: run the guest; -EAGAIN: not to be had here.
 */
int lucid_fetch_length(struct lucid_vcpu *vcpu, int id, bool atomic)
{
	struct kvm_segment cs;
	bool is64 = in_64bit_mode(vcpu, &cs);
	u64 linear = lucid_hw_get_rip(vcpu) + (is64 ? 0 : cs.base);
	u8 len = fixed_insns[id].len, buf[LUCID_INSN_MAX_LEN];
	int i, n;

	if (!is64)
		linear = (u32)linear;
	if (atomic && offset_in_page(linear) + len <= PAGE_SIZE) {
		const u8 *p = code_ptr(vcpu, linear);

		if (!p)
			return -EAGAIN;
		if (likely(is_opcode(p, id)))
			return len;
	}
	n = fetch_bytes(vcpu, linear, buf, atomic);
	for (i = 0; i + len <= n; i++) {
		if (is_opcode(buf + i, id))
			return i + len;
		if (!is_prefix(buf[i], is64))
			return 0;
	}
	return atomic ? -EAGAIN : 0;
}

/* ---- the emulator's memory ---------------------------------------------------------- */

/*
 * The page that this instruction was last allowed to write to: for the write
 * after a read, and for the elements of a string.  As a TLB would, for one
 * instruction.
 */
static void ahead_set(struct lucid_vcpu *vcpu, u64 linear, u64 gpa)
{
	vcpu->io.ahead_linear = linear & PAGE_MASK;
	vcpu->io.ahead_gpa = gpa & PAGE_MASK;
}

static bool ahead(struct lucid_vcpu *vcpu, u64 linear, u64 *gpa)
{
	if ((linear & PAGE_MASK) != vcpu->io.ahead_linear)
		return false;
	*gpa = vcpu->io.ahead_gpa | offset_in_page(linear);
	return true;
}

/* @as: LUCID_ACC_USER, LUCID_ACC_IMPLICIT or 0 */
static int emul_access_as(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len,
			  u64 *gpa, bool write, u32 as)
{
	struct lucid_vcpu *vcpu = c->ctx;
	u32 access = as | (write ? LUCID_ACC_WRITE : LUCID_ACC_READ), error;
	bool explicit_write = write && !(as & LUCID_ACC_IMPLICIT);
	int r;

	if (!explicit_write || !ahead(vcpu, linear, gpa)) {
		r = translate(vcpu, linear, access, false, gpa, &error);
		if (r > 0)
			return lucid_emul_page_fault(c, linear, error);
		if (r == -EINTR)
			return LUCID_EMUL_RETRY;
		if (r < 0)
			return LUCID_EMUL_UNHANDLEABLE;
		if (explicit_write)
			ahead_set(vcpu, linear, *gpa);
	}
	if (!buf)
		return LUCID_EMUL_OK;
	r = write ? lucid_mem_write(vcpu->vm, *gpa, buf, len) :
		    lucid_mem_read(vcpu->vm, *gpa, buf, len);
	if (r > 0)
		return write ? LUCID_EMUL_MMIO_WRITE : LUCID_EMUL_MMIO_READ;
	return r ? LUCID_EMUL_UNHANDLEABLE : LUCID_EMUL_OK;
}

static int emul_access(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len,
		       u64 *gpa, bool write)
{
	return emul_access_as(c, linear, buf, len, gpa, write,
			      lucid_hw_get_cpl(c->ctx) == 3 ? LUCID_ACC_USER : 0);
}

/**
 * lucid_emul_implicit - an access of the CPU's own, to a table of the guest's
 * @c: the instruction
 * @linear: where
 * @buf: from or to
 * @len: bytes, up to a page
 * @write: to the guest
 *
 * Return: enum lucid_emul_result; in MMIO no tables are supported.
 */
int lucid_emul_implicit(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len,
			bool write)
{
	unsigned int n = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
	u64 gpa;
	int r = emul_access_as(c, linear, buf, n, &gpa, write, LUCID_ACC_IMPLICIT);

	if (r == LUCID_EMUL_OK && n < len)
		r = emul_access_as(c, linear + n, buf + n, len - n, &gpa, write,
				   LUCID_ACC_IMPLICIT);
	return r == LUCID_EMUL_MMIO_READ || r == LUCID_EMUL_MMIO_WRITE ?
	       LUCID_EMUL_UNHANDLEABLE : r;
}

/**
 * lucid_linear_copy - guest memory by linear address, RAM only, any length
 * @vcpu: the vCPU, emulating (vcpu->io.emul)
 * @linear: where
 * @buf: from or to
 * @len: bytes
 * @write: to the guest
 *
 * Return: enum lucid_emul_result; MMIO cannot be done here.
 */
int lucid_linear_copy(struct lucid_vcpu *vcpu, u64 linear, void *buf, u32 len, bool write)
{
	/* Userspace may have set another state since it was looked up. */
	vcpu->io.ahead_linear = NOT_AHEAD;
	while (len) {
		u32 n = min_t(u32, len, PAGE_SIZE - offset_in_page(linear));
		u64 gpa;
		int r = emul_access(&vcpu->io.emul, linear, buf, n, &gpa, write);

		if (r != LUCID_EMUL_OK)
			return r;
		linear += n;
		if (vcpu->io.emul.mode != LUCID_EMUL_LONG)
			linear = (u32)linear;
		buf += n;
		len -= n;
	}
	return LUCID_EMUL_OK;
}

static int emul_read(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len, u64 *gpa)
{
	return emul_access(c, linear, buf, len, gpa, false);
}

static int emul_write(struct lucid_emul_ctxt *c, u64 linear, const void *buf,
		      unsigned int len, u64 *gpa)
{
	return emul_access(c, linear, (void *)buf, len, gpa, true);
}

static int emul_probe(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	u64 gpa;

	return emul_access(c, linear, NULL, len, &gpa, true);
}

/*
 * A LOCKed write.  User memory can be exchanged 8 or 16 bytes at a time where
 * they are aligned: what lies inside of such a block is done with its
 * neighbours.  A lock that is split over two of 16 bytes is not.
 */
static int emul_cmpxchg(struct lucid_emul_ctxt *c, u64 linear, const void *old, const void *val,
			unsigned int len, u64 *gpa)
{
	struct lucid_vcpu *vcpu = c->ctx;
	unsigned int size, at;
	u8 block[16] __aligned(8), new[16] __aligned(8);
	int r = emul_access(c, linear, NULL, len, gpa, true);

	if (r != LUCID_EMUL_OK)
		return r;
	size = (*gpa & 7) + len <= 8 ? 8 : 16;
	at = *gpa & (size - 1);
	r = lucid_mem_read(vcpu->vm, *gpa - at, block, size);
	if (r > 0)
		return LUCID_EMUL_MMIO_WRITE;
	if (r || at + len > size)
		return LUCID_EMUL_UNHANDLEABLE;
	if (memcmp(block + at, old, len))
		return LUCID_EMUL_RETRY;
	memcpy(new, block, size);
	memcpy(new + at, val, len);
	r = lucid_mem_cmpxchg(vcpu->vm, *gpa - at, block, new, size);
	if (r == -EFAULT)
		return LUCID_EMUL_MMIO_WRITE;	/* a read-only slot: as write_mem has it */
	return !r ? LUCID_EMUL_OK : r > 0 ? LUCID_EMUL_RETRY : LUCID_EMUL_UNHANDLEABLE;
}

static void emul_load_segs(struct lucid_emul_ctxt *c)
{
	int i;

	for (i = 0; i < LUCID_SEG_FS; i++)
		lucid_hw_get_seg(c->ctx, i, &c->seg[i]);
}

static int emul_read_xmm(struct lucid_emul_ctxt *c, unsigned int reg, void *buf)
{
	lucid_fpu_get_xmm(c->ctx, reg, buf);
	return LUCID_EMUL_OK;
}

static int emul_write_xmm(struct lucid_emul_ctxt *c, unsigned int reg, const void *buf)
{
	lucid_fpu_set_xmm(c->ctx, reg, buf);
	return LUCID_EMUL_OK;
}

static const struct lucid_emul_ops emul_ops = {
	.read_mem = emul_read,
	.write_mem = emul_write,
	.probe_write = emul_probe,
	.cmpxchg_mem = emul_cmpxchg,
	.load_segs = emul_load_segs,
	.read_xmm = emul_read_xmm,
	.write_xmm = emul_write_xmm,
	.read_cr = lucid_step_read_cr,
	.write_cr = lucid_step_write_cr,
	.read_dr = lucid_step_read_dr,
	.write_dr = lucid_step_write_dr,
	.read_msr = lucid_step_read_msr,
	.write_msr = lucid_step_write_msr,
	.cpuid = lucid_step_cpuid,
	.rdtsc = lucid_step_rdtsc,
	.invlpg = lucid_step_invlpg,
	.get_table = lucid_step_get_table,
	.set_table = lucid_step_set_table,
	.read_desc = lucid_step_read_desc,
	.mark_accessed = lucid_step_mark_accessed,
};

/*
 * In a stay, interrupts off: only the access that the CPU has just tried and
 * that faulted at vcpu->io.fault_gpa, which is known to be no RAM.  The CPU has
 * walked the guest's tables for it, checked its rights and set A and D, so
 * nothing is walked again.  Everything else is left to the way above.
 */
static int emul_tried(struct lucid_emul_ctxt *c, u64 linear, u64 *gpa, int answer)
{
	struct lucid_vcpu *vcpu = c->ctx;

	if (offset_in_page(linear) != offset_in_page(vcpu->io.fault_gpa))
		return LUCID_EMUL_UNHANDLEABLE;
	*gpa = vcpu->io.fault_gpa;
	return answer;
}

static int emul_tried_read(struct lucid_emul_ctxt *c, u64 linear, void *buf,
			   unsigned int len, u64 *gpa)
{
	return emul_tried(c, linear, gpa, LUCID_EMUL_MMIO_READ);
}

static int emul_tried_write(struct lucid_emul_ctxt *c, u64 linear, const void *buf,
			    unsigned int len, u64 *gpa)
{
	return emul_tried(c, linear, gpa, LUCID_EMUL_MMIO_WRITE);
}

/*
 * A read that its instruction follows with a write: is that allowed, and where?
 * Looked up now, while the guest's tables can be walked without a lock; the
 * write that comes with userspace's answer then needs no walk.  Not where an A
 * or D bit is to be set.
 */
static int emul_tried_probe(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	struct lucid_vcpu *vcpu = c->ctx;
	struct lucid_walk_result res;
	struct lucid_walk w;

	if (offset_in_page(linear) != offset_in_page(vcpu->io.fault_gpa))
		return LUCID_EMUL_UNHANDLEABLE;
	walk_init(vcpu, &w, true);
	if (lucid_walk(&w, linear, LUCID_ACC_WRITE | LUCID_ACC_NO_AD |
		       (lucid_hw_get_cpl(vcpu) == 3 ? LUCID_ACC_USER : 0), &res) ||
	    (res.level && !(res.pte & PTE_DIRTY)))
		return LUCID_EMUL_UNHANDLEABLE;
	ahead_set(vcpu, linear, res.gpa);
	return LUCID_EMUL_OK;
}

static const struct lucid_emul_ops emul_ops_tried = {
	.one_access = true,
	.read_mem = emul_tried_read,
	.write_mem = emul_tried_write,
	.probe_write = emul_tried_probe,
};

/**
 * lucid_emul_outside - the instruction goes on outside of the stay it began in
 * @vcpu: the vCPU
 */
void lucid_emul_outside(struct lucid_vcpu *vcpu)
{
	vcpu->io.emul.ops = &emul_ops;
}

/**
 * lucid_emul_start - make vcpu->io.emul ready for the instruction at RIP
 * @vcpu: the vCPU
 * @atomic: in a stay, interrupts off
 *
 * Context: outside of a stay it may sleep.
 * Return: as lucid_fetch_insn(); -EFAULT also for what cannot be decoded.
 */
int lucid_emul_start(struct lucid_vcpu *vcpu, bool atomic)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	int i, r;

	r = lucid_fetch_insn(vcpu, &c->insn, atomic);
	if (unlikely(r != LUCID_REENTER)) {
		/* Unknown to us, or changed since by another vCPU: not to be done here. */
		return r == -EILSEQ || r == -E2BIG ? -EFAULT : r;
	}
	c->ctx = vcpu;
	vcpu->io.ahead_linear = NOT_AHEAD;
	c->ops = &emul_ops_tried;
	if (!atomic) {
		c->ops = &emul_ops;
		/* What instructions look at that are not done in a stay. */
		c->cr0 = vcpu->cr0;
		c->cr4 = vcpu->cr4;
		c->cpl = lucid_hw_get_cpl(vcpu);
		c->tzcnt = boot_cpu_has(X86_FEATURE_BMI1);
		c->lzcnt = boot_cpu_has(X86_FEATURE_ABM);
	}
	c->rip = lucid_hw_get_rip(vcpu);
	c->rflags = lucid_hw_get_rflags(vcpu);
	c->la57 = vcpu->cr4 & X86_CR4_LA57;
	c->align_check = (vcpu->cr0 & X86_CR0_AM) && (c->rflags & X86_EFLAGS_AC) &&
			 lucid_hw_get_cpl(vcpu) == 3;
	memcpy(c->regs, vcpu->regs, sizeof(c->regs));
	/* In 64-bit mode only FS and GS have a base, and no segment a limit. */
	for (i = c->insn.mode == LUCID_INSN_64 ? LUCID_SEG_FS : 0; i < LUCID_SEG_NR; i++)
		lucid_hw_get_seg(vcpu, i, &c->seg[i]);
	if (c->insn.mode == LUCID_INSN_64)
		c->mode = LUCID_EMUL_LONG;
	else if (!(vcpu->cr0 & X86_CR0_PE))
		c->mode = LUCID_EMUL_REAL;
	else if (c->rflags & X86_EFLAGS_VM)
		c->mode = LUCID_EMUL_VM86;
	else
		c->mode = c->insn.mode == LUCID_INSN_32 ? LUCID_EMUL_PROT32 : LUCID_EMUL_PROT16;
	lucid_emul_begin(c);
	return LUCID_REENTER;
}

/* Segments that were loaded, and what follows from the instruction's being over. */
static void emul_effects(struct lucid_vcpu *vcpu, struct lucid_emul_ctxt *c)
{
	int i;

	for (i = 0; i < LUCID_SEG_NR; i++)
		if (c->effects & 1u << i)
			lucid_hw_set_seg(vcpu, i, &c->seg[i]);
	if (c->effects & LUCID_EMUL_SHADOW)
		lucid_hw_set_shadow(vcpu, true);
	if (c->effects & LUCID_EMUL_IRET && lucid_hw_nmi_masked(vcpu))
		lucid_hw_set_nmi_masked(vcpu, false);
}

/**
 * lucid_emul_commit - the instruction is done: its results are the guest's
 * @vcpu: the vCPU
 */
void lucid_emul_commit(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;

	memcpy(vcpu->regs, c->regs, sizeof(c->regs));
	lucid_hw_set_rflags(vcpu, c->rflags);
	lucid_hw_skip(vcpu, c->rip);
	if (unlikely(c->effects))
		emul_effects(vcpu, c);
}

/**
 * lucid_emul_fault - what is to be done when the emulator did not say OK
 * @vcpu: the vCPU
 * @result: enum lucid_emul_result
 *
 * Return: enum lucid_next or a negative errno.
 */
int lucid_emul_fault(struct lucid_vcpu *vcpu, int result)
{
	const struct lucid_emul_fault *f = &vcpu->io.emul.fault;

	switch (result) {
	case LUCID_EMUL_FAULT:
		if (f->vector == X86_TRAP_PF)
			lucid_queue_page_fault(vcpu, f->cr2, f->error_code);
		else
			lucid_queue_exception(vcpu, f->vector, f->has_error_code ?
					      (s64)f->error_code : LUCID_NO_ERROR);
		return LUCID_REENTER;
	case LUCID_EMUL_RETRY:
		return LUCID_REENTER;
	}
	return lucid_emulation_failed(vcpu);
}

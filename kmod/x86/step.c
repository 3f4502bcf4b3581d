// SPDX-License-Identifier: GPL-2.0
/*
 * What the emulator is given of the machine besides memory, and the test switch
 * that has a vCPU run by nothing else.
 */
#include <linux/moduleparam.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/tsc.h>

#include "../lucid.h"
#include "decode.h"
#include "step.h"

static bool test_emulate;
module_param(test_emulate, bool, 0644);
MODULE_PARM_DESC(test_emulate, "allow LUCID_SET_EMULATE: a vCPU run by the instruction emulator alone (for tests)");

/* Answers of x86/ (0 or LUCID_GP) as the emulator's. */
static int or_gp(struct lucid_emul_ctxt *c, int r)
{
	return r ? lucid_emul_exception(c, X86_TRAP_GP, true, 0) : LUCID_EMUL_OK;
}

/* ---- control and debug registers ------------------------------------------------ */

int lucid_step_read_cr(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val)
{
	struct lucid_vcpu *vcpu = c->ctx;

	switch (nr) {
	case 0:
		*val = vcpu->cr0;
		break;
	case 2:
		*val = lucid_hw_get_cr2(vcpu);
		break;
	case 3:
		*val = lucid_hw_get_cr3(vcpu);
		break;
	case 4:
		*val = vcpu->cr4;
		break;
	default:
		*val = vcpu->cr8;
	}
	return LUCID_EMUL_OK;
}

/* CR3 is the guest's own on hardware: its reserved bits are looked at here only. */
static int set_cr3(struct lucid_vcpu *vcpu, u64 val)
{
	if (vcpu->efer & EFER_LMA) {
		if (vcpu->cr4 & X86_CR4_PCIDE)
			val &= ~BIT_ULL(63);	/* keep translations: a hint */
		if (val >> vcpu->cpuid.maxphyaddr)
			return LUCID_GP;
	}
	lucid_hw_set_cr3(vcpu, val);
	lucid_flush_guest(vcpu);
	if ((vcpu->cr0 & X86_CR0_PG) && (vcpu->cr4 & X86_CR4_PAE) && !(vcpu->efer & EFER_LMA))
		return lucid_load_pdptes(vcpu);
	return 0;
}

int lucid_step_write_cr(struct lucid_emul_ctxt *c, unsigned int nr, u64 val)
{
	struct lucid_vcpu *vcpu = c->ctx;

	switch (nr) {
	case 0:
		return or_gp(c, lucid_set_cr0(vcpu, val));
	case 2:
		lucid_hw_set_cr2(vcpu, val);
		return LUCID_EMUL_OK;
	case 3:
		return or_gp(c, set_cr3(vcpu, val));
	case 4:
		return or_gp(c, lucid_set_cr4(vcpu, val));
	default:
		return or_gp(c, lucid_set_cr8(vcpu, val));
	}
}

/* DR4 and DR5 do not exist with CR4.DE; with DR7.GD all raise #DB. */
static int dr_refused(struct lucid_emul_ctxt *c, unsigned int nr)
{
	struct lucid_vcpu *vcpu = c->ctx;
	u64 dr7 = lucid_hw_get_dr7(vcpu);

	if (nr > 7 || ((nr & 6) == 4 && (vcpu->cr4 & X86_CR4_DE)))
		return lucid_emul_exception(c, X86_TRAP_UD, false, 0);
	if (!(dr7 & BIT(13)))
		return LUCID_EMUL_OK;
	lucid_hw_set_dr7(vcpu, dr7 & ~BIT_ULL(13));
	lucid_hw_set_dr6(vcpu, (lucid_hw_get_dr6(vcpu) & ~0xfull) | BIT(13));
	return lucid_emul_exception(c, X86_TRAP_DB, false, 0);
}

int lucid_step_read_dr(struct lucid_emul_ctxt *c, unsigned int nr, u64 *val)
{
	struct lucid_vcpu *vcpu = c->ctx;
	int r = dr_refused(c, nr);

	if (r != LUCID_EMUL_OK)
		return r;
	if (nr < 4)
		*val = vcpu->dr[nr];
	else
		*val = nr & 1 ? lucid_hw_get_dr7(vcpu) : lucid_hw_get_dr6(vcpu);
	return LUCID_EMUL_OK;
}

int lucid_step_write_dr(struct lucid_emul_ctxt *c, unsigned int nr, u64 val)
{
	int r = dr_refused(c, nr);

	return r != LUCID_EMUL_OK ? r : or_gp(c, lucid_set_dr(c->ctx, nr, val));
}

/* ---- MSRs, CPUID, time, TLB ------------------------------------------------------- */

int lucid_step_read_msr(struct lucid_emul_ctxt *c, u32 index, u64 *val)
{
	return or_gp(c, lucid_msr_get(c->ctx, index, val, false));
}

int lucid_step_write_msr(struct lucid_emul_ctxt *c, u32 index, u64 val)
{
	return or_gp(c, lucid_msr_set(c->ctx, index, val, false));
}

/* lucid_cpuid_exec() works on the vCPU's registers, which are not to change yet. */
int lucid_step_cpuid(struct lucid_emul_ctxt *c, u32 *regs)
{
	static const u8 order[4] = { LUCID_RAX, LUCID_RBX, LUCID_RCX, LUCID_RDX };
	struct lucid_vcpu *vcpu = c->ctx;
	u64 saved[4];
	int i;

	for (i = 0; i < 4; i++)
		saved[i] = vcpu->regs[order[i]];
	vcpu->regs[LUCID_RAX] = regs[0];
	vcpu->regs[LUCID_RCX] = regs[1];
	lucid_cpuid_exec(vcpu);
	for (i = 0; i < 4; i++) {
		regs[i] = vcpu->regs[order[i]];
		vcpu->regs[order[i]] = saved[i];
	}
	return LUCID_EMUL_OK;
}

int lucid_step_rdtsc(struct lucid_emul_ctxt *c, u64 *val)
{
	struct lucid_vcpu *vcpu = c->ctx;

	*val = rdtsc() + vcpu->tsc_offset;
	return LUCID_EMUL_OK;
}

int lucid_step_invlpg(struct lucid_emul_ctxt *c, u64 linear)
{
	lucid_flush_guest(c->ctx);
	return LUCID_EMUL_OK;
}

/* ---- descriptor tables -------------------------------------------------------------- */

void lucid_step_get_table(struct lucid_emul_ctxt *c, bool idt, u64 *base, u32 *limit)
{
	struct kvm_dtable d;

	lucid_hw_get_dt(c->ctx, idt, &d);
	*base = d.base;
	*limit = d.limit;
}

void lucid_step_set_table(struct lucid_emul_ctxt *c, bool idt, u64 base, u32 limit)
{
	struct kvm_dtable d = { .base = base, .limit = limit };

	lucid_hw_set_dt(c->ctx, idt, &d);
}

/* Where the descriptor of @selector is, or #GP. */
static int find_desc(struct lucid_emul_ctxt *c, u16 selector, u64 *linear)
{
	u32 limit;
	u64 base;

	if (selector & 4) {
		struct kvm_segment ldt;

		lucid_hw_get_seg(c->ctx, LUCID_SEG_LDTR, &ldt);
		base = ldt.base;
		limit = ldt.unusable ? 0 : ldt.limit;
	} else {
		lucid_step_get_table(c, false, &base, &limit);
	}
	if ((selector | 7) > limit)
		return lucid_emul_exception(c, X86_TRAP_GP, true, selector & ~3u);
	*linear = base + (selector & ~7u);
	if (c->mode != LUCID_EMUL_LONG)
		*linear = (u32)*linear;
	return LUCID_EMUL_OK;
}

int lucid_step_read_desc(struct lucid_emul_ctxt *c, u16 selector, u64 *desc)
{
	u64 linear;
	int r = find_desc(c, selector, &linear);

	return r != LUCID_EMUL_OK ? r : lucid_emul_implicit(c, linear, desc, 8, false);
}

int lucid_step_mark_accessed(struct lucid_emul_ctxt *c, u16 selector)
{
	u64 linear;
	u8 type;
	int r = find_desc(c, selector, &linear);

	if (r == LUCID_EMUL_OK)
		r = lucid_emul_implicit(c, linear + 5, &type, 1, false);
	type |= 1;
	return r != LUCID_EMUL_OK ? r : lucid_emul_implicit(c, linear + 5, &type, 1, true);
}

/* ---- a vCPU without a CPU --------------------------------------------------------------- */

/**
 * lucid_set_emulate - the ioctl LUCID_SET_EMULATE
 * @vcpu: the vCPU
 * @on: 1: from now on every instruction is emulated; 0: the CPU runs the guest
 *
 * Return: 0; -EPERM without test_emulate=1; -EINVAL for another number.
 */
int lucid_set_emulate(struct lucid_vcpu *vcpu, u32 on)
{
	if (!test_emulate)
		return -EPERM;
	if (on > 1)
		return -EINVAL;
	vcpu->emulate = on;
	return 0;
}

/* IN, OUT, INS, OUTS: they go to userspace as they do from an exit. */
static int step_port(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	const struct lucid_insn *insn = &c->insn;
	u8 size = insn->opcode & 1 ? min_t(u8, insn->opsize, 4) : 1;
	u16 port = insn->imm_size ? insn->imm : vcpu->regs[LUCID_RDX];
	bool string = insn->opcode < 0x80, in = !(insn->opcode & 2);
	u64 next = c->rip + insn->len;

	/* The bitmap in the TSS is not looked at. */
	if (c->mode == LUCID_EMUL_VM86 ||
	    (c->mode != LUCID_EMUL_REAL && c->cpl > (c->rflags & X86_EFLAGS_IOPL) >> 12))
		return lucid_emulation_failed(vcpu);
	if (string)
		return lucid_pio_string(vcpu, port, size, insn->opcode < 0x6e,
					insn->prefixes & (LUCID_PFX_REP | LUCID_PFX_REPNE));
	return lucid_pio(vcpu, port, size, in, c->mode == LUCID_EMUL_LONG ? next : (u32)next);
}

static bool is_port(const struct lucid_insn *insn)
{
	return insn->encoding == LUCID_ENC_LEGACY && insn->map == LUCID_MAP_ONE &&
	       ((insn->opcode & 0xfc) == 0x6c || (insn->opcode & 0xf4) == 0xe4);
}

static int step_hlt(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;

	if (c->cpl) {
		lucid_queue_exception(vcpu, X86_TRAP_GP, 0);
		return LUCID_REENTER;
	}
	lucid_hw_skip(vcpu, c->rip + c->insn.len);
	return lucid_halt(vcpu);
}

/**
 * lucid_emulate_step - run one instruction without entering the guest
 * @vcpu: the vCPU, nothing to be injected
 *
 * An exception that it raises is delivered by the CPU: the guest then runs
 * there until its next exit.  What is not known leaves for userspace, whatever
 * the CPL.
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next or a negative errno.
 */
int lucid_emulate_step(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	u64 old_cr8 = vcpu->cr8;
	int r;

	c->insn.len = 0;
	r = lucid_fetch_insn(vcpu, &c->insn, false);
	if (r == -EILSEQ || r == -E2BIG) {
		if (r == -EILSEQ)
			lucid_queue_exception(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
		else
			lucid_queue_exception(vcpu, X86_TRAP_GP, 0);
		return LUCID_REENTER;
	}
	if (r == LUCID_REENTER)
		r = lucid_emul_start(vcpu, false);
	if (r == -EFAULT)
		return lucid_emulation_failed(vcpu);
	if (r != LUCID_REENTER)
		return r;

	if (is_port(&c->insn))
		return step_port(vcpu);
	if (lucid_insn_is(&c->insn, LUCID_I_HLT))
		return step_hlt(vcpu);
	r = lucid_mmio_run(vcpu);
	if (r == LUCID_REENTER && vcpu->cr8 < old_cr8) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return LUCID_TO_USER;
	}
	return r;
}

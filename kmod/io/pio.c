// SPDX-License-Identifier: GPL-2.0
/*
 * Port I/O: every port belongs to userspace, except those of the interrupt
 * controllers in the kernel.
 *
 * The data travels in the page behind kvm_run.  The instruction is complete,
 * and RIP moves, when KVM_RUN is called again (KVM's api.rst, KVM_EXIT_IO).
 */
#include <asm/processor-flags.h>

#include "../lucid.h"
#include "../x86/decode.h"

static int pio_exit(struct lucid_vcpu *vcpu, u16 port, u8 size, bool in, u32 count,
		    enum lucid_complete complete)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = PAGE_SIZE;
	vcpu->io.size = size;
	vcpu->io.count = count;
	vcpu->io.rip = lucid_hw_get_linear_rip(vcpu);
	vcpu->io.complete = complete;
	return LUCID_TO_USER;
}

/* A 32-bit result clears the upper half, smaller ones leave the rest. */
static void set_rax(struct lucid_vcpu *vcpu, u32 value, u8 size)
{
	if (size == 4)
		vcpu->regs[LUCID_RAX] = value;
	else
		memcpy(&vcpu->regs[LUCID_RAX], &value, size);
}

/**
 * lucid_pio - IN or OUT
 * @vcpu: the vCPU, at the instruction
 * @port: the port
 * @size: 1, 2 or 4 bytes
 * @in: IN
 * @next_rip: of the next instruction
 *
 * Context: any of the vCPU's thread, interrupts off too.
 */
int lucid_pio(struct lucid_vcpu *vcpu, u16 port, u8 size, bool in, u64 next_rip)
{
	u32 value = vcpu->regs[LUCID_RAX];

	if (lucid_irq_port(vcpu, port, in, &value)) {
		if (in)
			set_rax(vcpu, value, size);
		lucid_hw_skip(vcpu, next_rip);
		return LUCID_REENTER;
	}
	vcpu->io.next_rip = next_rip;
	if (!in) {
		memcpy(vcpu->pio_data, &value, size);
		return pio_exit(vcpu, port, size, false, 1, LUCID_COMPLETE_PIO_OUT);
	}
	return pio_exit(vcpu, port, size, true, 1, LUCID_COMPLETE_PIO_IN);
}

/* ---- INS, OUTS ------------------------------------------------------------------- */

/* A register as the instruction's address size sees it, and back. */
static u64 addr_reg(const struct lucid_emul_ctxt *c, int reg)
{
	return c->insn.addrsize == 8 ? c->regs[reg] :
	       c->insn.addrsize == 4 ? (u32)c->regs[reg] : (u16)c->regs[reg];
}

static void set_addr_reg(struct lucid_emul_ctxt *c, int reg, u64 value)
{
	if (c->insn.addrsize == 8)
		c->regs[reg] = value;
	else if (c->insn.addrsize == 4)
		c->regs[reg] = (u32)value;
	else
		c->regs[reg] = (c->regs[reg] & ~0xffffull) | (u16)value;
}

/* Move on by @count units; RIP too when REP has run out. */
static void string_advance(struct lucid_vcpu *vcpu, int reg, u32 count, bool rep)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	s64 step = (s64)count * vcpu->io.size;

	if (c->rflags & X86_EFLAGS_DF)
		step = -step;
	set_addr_reg(c, reg, addr_reg(c, reg) + step);
	if (rep)
		set_addr_reg(c, LUCID_RCX, addr_reg(c, LUCID_RCX) - count);
	memcpy(vcpu->regs, c->regs, sizeof(c->regs));
	if (!rep || !addr_reg(c, LUCID_RCX))
		lucid_hw_skip(vcpu, c->rip + c->insn.len);
	/* Else the guest stands on it again: it goes on, or an interrupt comes between. */
}

/**
 * lucid_pio_string - INS or OUTS, as many units as one exit can carry
 * @vcpu: the vCPU, at the instruction
 * @port: the port
 * @size: of a unit
 * @in: INS
 * @rep: with REP
 *
 * Units up to the end of the page go in one exit; with the direction flag set,
 * or where a unit crosses the page's end, one alone.
 * Context: outside of a stay; may sleep.
 */
int lucid_pio_string(struct lucid_vcpu *vcpu, u16 port, u8 size, bool in, bool rep)
{
	u32 unit = 0;
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	unsigned int seg;
	u64 count, linear, left, done;
	int reg, r;

	r = lucid_emul_start(vcpu, false);
	if (r != LUCID_REENTER)
		return r == -EFAULT ? lucid_emulation_failed(vcpu) : r;
	/* INS 6C, 6D; OUTS 6E, 6F: else another vCPU has changed it meanwhile. */
	if (c->insn.map != LUCID_MAP_ONE || c->insn.opcode >> 2 != 0x6c >> 2)
		return LUCID_REENTER;

	reg = in ? LUCID_RDI : LUCID_RSI;
	seg = in ? LUCID_SEG_ES : c->insn.seg != LUCID_SEG_NONE ? c->insn.seg : LUCID_SEG_DS;
	vcpu->io.size = size;
	count = rep ? addr_reg(c, LUCID_RCX) : 1;
	if (!count) {
		lucid_hw_skip(vcpu, c->rip + c->insn.len);
		return LUCID_REENTER;
	}
	r = lucid_emul_linear(c, seg, addr_reg(c, reg), size, in, &linear);
	if (r != LUCID_EMUL_OK)
		return lucid_emul_fault(vcpu, r);

	/* No further than the page, the end of the offset's range, the segment. */
	left = (PAGE_SIZE - offset_in_page(linear)) / size;
	if (c->insn.addrsize == 2)
		left = min_t(u64, left, (0x10000 - addr_reg(c, reg)) / size);
	count = min(count, left);
	if (!count || (c->rflags & X86_EFLAGS_DF))
		count = 1;
	while (count > 1 && lucid_emul_linear(c, seg, addr_reg(c, reg), count * size, in,
					      &linear) != LUCID_EMUL_OK)
		count /= 2;

	if (in) {
		/* That it can be written is made sure before the device is asked. */
		r = c->ops->probe_write(c, linear, 1);
		if (r == LUCID_EMUL_OK)
			r = c->ops->probe_write(c, linear + count * size - 1, 1);
		if (r != LUCID_EMUL_OK)
			return lucid_emul_fault(vcpu, r);
		/* One unit a time: the next may be a different register. */
		if (lucid_irq_port(vcpu, port, true, &unit)) {
			r = lucid_linear_copy(vcpu, linear, &unit, size, true);
			if (r != LUCID_EMUL_OK)
				return lucid_emul_fault(vcpu, r);
			string_advance(vcpu, reg, 1, rep);
			return LUCID_REENTER;
		}
		vcpu->io.linear = linear;
		vcpu->io.rep = rep;
		return pio_exit(vcpu, port, size, true, count, LUCID_COMPLETE_STRING_IN);
	}
	r = lucid_linear_copy(vcpu, linear, vcpu->pio_data, count * size, false);
	if (r != LUCID_EMUL_OK)
		return lucid_emul_fault(vcpu, r);
	for (done = 0; done < count; done++) {
		memcpy(&unit, vcpu->pio_data + done * size, size);
		if (!lucid_irq_port(vcpu, port, false, &unit))
			break;
	}
	if (done) {
		string_advance(vcpu, reg, done, rep);
		return LUCID_REENTER;
	}
	r = pio_exit(vcpu, port, size, false, count, LUCID_COMPLETE_NONE);
	string_advance(vcpu, reg, count, rep);
	return r;
}

/**
 * lucid_pio_complete - userspace has done the port access
 * @vcpu: the vCPU
 * @complete: what is open
 */
int lucid_pio_complete(struct lucid_vcpu *vcpu, enum lucid_complete complete)
{
	struct lucid_io *io = &vcpu->io;
	u32 value = 0;
	int r;

	/* Userspace may have set other registers meanwhile: then it knows better. */
	if (lucid_hw_get_linear_rip(vcpu) != io->rip)
		return LUCID_REENTER;
	if (complete == LUCID_COMPLETE_STRING_IN) {
		memcpy(io->emul.regs, vcpu->regs, sizeof(vcpu->regs));
		r = lucid_linear_copy(vcpu, io->linear, vcpu->pio_data, io->count * io->size, true);
		if (r != LUCID_EMUL_OK)
			return lucid_emul_fault(vcpu, r);
		string_advance(vcpu, LUCID_RDI, io->count, io->rep);
		return LUCID_REENTER;
	}
	if (complete == LUCID_COMPLETE_PIO_IN) {
		memcpy(&value, vcpu->pio_data, io->size);
		set_rax(vcpu, value, io->size);
	}
	lucid_hw_skip(vcpu, io->next_rip);
	return LUCID_REENTER;
}

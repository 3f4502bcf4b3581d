// SPDX-License-Identifier: GPL-2.0
/*
 * Memory-mapped I/O: an access to guest-physical memory with no slot behind it.
 * The instruction is emulated; each piece of the access that is not RAM goes
 * to userspace as one KVM_EXIT_MMIO.
 */

#include "../lucid.h"
#include "../x86/decode.h"

/**
 * lucid_emulation_exit - tell userspace that something cannot be done
 * @vcpu: the vCPU
 * @insn: the instruction, or NULL
 *
 * The guest gets #UD should it be run again, as with KVM.
 */
int lucid_emulation_exit(struct lucid_vcpu *vcpu, const struct lucid_insn *insn)
{
	struct kvm_run *run = vcpu->run;

	lucid_queue_exception(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (insn) {
		run->emulation_failure.ndata = 1 + 1 + DIV_ROUND_UP(sizeof(insn->bytes), 8);
		run->emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = insn->len;
		memcpy(run->emulation_failure.insn_bytes, insn->bytes, insn->len);
	}
	return LUCID_TO_USER;
}

/**
 * lucid_emulation_failed - an instruction that is not known here
 * @vcpu: the vCPU; vcpu->io.emul.insn is the instruction, if it was decoded
 *
 * As KVM: the guest gets #UD; at CPL 0 (or by LUCID_SET_EMULATE) userspace is told as well.
 */
int lucid_emulation_failed(struct lucid_vcpu *vcpu)
{
	const struct lucid_insn *insn = &vcpu->io.emul.insn;

	if (!lucid_hw_get_cpl(vcpu) || vcpu->emulate)
		return lucid_emulation_exit(vcpu, insn->len ? insn : NULL);
	lucid_queue_exception(vcpu, X86_TRAP_UD, LUCID_NO_ERROR);
	return LUCID_REENTER;
}

static int mmio_exit(struct lucid_vcpu *vcpu, const struct lucid_emul_frag *frag, bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = frag->gpa;
	run->mmio.len = frag->len;
	run->mmio.is_write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		memcpy(run->mmio.data, frag->data, frag->len);
	vcpu->io.rip = lucid_hw_get_linear_rip(vcpu);
	vcpu->io.complete = write ? LUCID_COMPLETE_MMIO_WRITE : LUCID_COMPLETE_MMIO_READ;
	return LUCID_TO_USER;
}

/* The writes of a finished instruction, one an exit. */
static int mmio_next_write(struct lucid_vcpu *vcpu)
{
	struct lucid_io *io = &vcpu->io;

	while (io->next_write < io->emul.nr_writes) {
		struct lucid_emul_frag *frag = &io->emul.writes[io->next_write++];

		if (!lucid_irq_mmio(vcpu, frag->gpa, frag->data, frag->len, true))
			return mmio_exit(vcpu, frag, true);
	}
	return LUCID_REENTER;
}

/*
 * Run the instruction; what it reads from a chip in the kernel is answered
 * here.  Return: enum lucid_emul_result, MMIO_READ: userspace is to answer.
 */
static int mmio_emulate(struct lucid_vcpu *vcpu)
{
	struct lucid_emul_ctxt *c = &vcpu->io.emul;
	struct lucid_emul_frag *frag;
	u8 data[8] = {};	/* the guest sees all of it */
	int r;

	for (;;) {
		r = lucid_emul_run(c);
		if (r != LUCID_EMUL_MMIO_READ)
			return r;
		frag = &c->reads[c->nr_reads];
		if (!lucid_irq_mmio(vcpu, frag->gpa, data, frag->len, false))
			return r;
		lucid_emul_mmio_answer(c, data);
	}
}

/**
 * lucid_mmio_run - run vcpu->io.emul's instruction, and do what comes of it
 * @vcpu: the vCPU; lucid_emul_start() has been called
 *
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next or a negative errno.
 */
int lucid_mmio_run(struct lucid_vcpu *vcpu)
{
	struct lucid_io *io = &vcpu->io;
	int r = mmio_emulate(vcpu);

	if (r == LUCID_EMUL_MMIO_READ)
		return mmio_exit(vcpu, &io->emul.reads[io->emul.nr_reads], false);
	if (r != LUCID_EMUL_OK)
		return lucid_emul_fault(vcpu, r);
	/* As with KVM, the registers are the new ones when userspace sees the write. */
	lucid_emul_commit(vcpu);
	io->next_write = 0;
	return mmio_next_write(vcpu);
}

/**
 * lucid_mmio - the guest touched what is not RAM
 * @vcpu: the vCPU, at the instruction
 *
 * Context: outside of a stay; may sleep.
 * Return: enum lucid_next or a negative errno.
 */
int lucid_mmio(struct lucid_vcpu *vcpu)
{
	int r;

	vcpu->io.emul.insn.len = 0;
	r = lucid_emul_start(vcpu, false);
	if (r == -EFAULT)
		return lucid_emulation_failed(vcpu);	/* it executes from nowhere */
	if (r != LUCID_REENTER)
		return r;
	return lucid_mmio_run(vcpu);
}

/**
 * lucid_mmio_tried - the same, in a stay, for the access that has just faulted
 * @vcpu: the vCPU, at the instruction
 * @gpa: where it faulted; no RAM; the CPU had finished the walk to it
 *
 * The short way for what devices see nearly always: one aligned move, its
 * instruction mapped.
 * Context: in a stay, interrupts off.
 * Return: LUCID_TO_USER; LUCID_REENTER: a chip in the kernel has served it;
 * LUCID_SLOW with nothing changed: take the long way.
 */
int lucid_mmio_tried(struct lucid_vcpu *vcpu, u64 gpa)
{
	struct lucid_io *io = &vcpu->io;
	int r;

	io->fault_gpa = gpa;
	if (lucid_emul_start(vcpu, true) != LUCID_REENTER)
		return LUCID_SLOW;
	r = mmio_emulate(vcpu);
	if (r == LUCID_EMUL_MMIO_READ)
		return mmio_exit(vcpu, &io->emul.reads[io->emul.nr_reads], false);
	if (r != LUCID_EMUL_OK || (!io->emul.nr_writes && !io->emul.nr_reads))
		return LUCID_SLOW;
	lucid_emul_commit(vcpu);
	io->next_write = 0;
	return mmio_next_write(vcpu);
}

/* Userspace has answered a piece. */
static int mmio_answered(struct lucid_vcpu *vcpu)
{
	/* Userspace may have set registers meanwhile: they hold. */
	if (lucid_hw_get_linear_rip(vcpu) != vcpu->io.rip)
		return LUCID_REENTER;
	memcpy(vcpu->io.emul.regs, vcpu->regs, sizeof(vcpu->regs));
	lucid_emul_mmio_answer(&vcpu->io.emul, vcpu->run->mmio.data);
	lucid_emul_outside(vcpu);
	return lucid_mmio_run(vcpu);
}

/**
 * lucid_io_complete - KVM_RUN again: finish what the last one left open
 * @vcpu: the vCPU
 *
 * Sizes and places come from the vCPU, only data from the shared page.
 * Return: LUCID_REENTER: go on; LUCID_TO_USER: there is more to ask.
 */
int lucid_io_complete(struct lucid_vcpu *vcpu)
{
	enum lucid_complete complete = vcpu->io.complete;

	if (likely(complete == LUCID_COMPLETE_NONE))
		return LUCID_REENTER;
	vcpu->io.complete = LUCID_COMPLETE_NONE;
	switch (complete) {
	case LUCID_COMPLETE_MMIO_READ:
		return mmio_answered(vcpu);
	case LUCID_COMPLETE_MMIO_WRITE:
		return mmio_next_write(vcpu);
	default:
		return lucid_pio_complete(vcpu, complete);
	}
}

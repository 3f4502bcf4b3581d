// SPDX-License-Identifier: GPL-2.0
/* Exceptions on their way into the guest. */

#include "../lucid.h"

/* SDM vol. 3A, "Double Fault Exception": how one fault meets another. */
enum fault_class { FAULT_BENIGN, FAULT_CONTRIBUTORY, FAULT_PAGE };

static enum fault_class fault_class(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return FAULT_PAGE;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return FAULT_CONTRIBUTORY;
	}
	return FAULT_BENIGN;
}

/**
 * lucid_queue_exception - raise an exception in the guest
 * @vcpu: the vCPU
 * @vector: its vector
 * @error: its error code, or LUCID_NO_ERROR; left out in real mode
 *
 * If another one's delivery was cut short, the two become what the manual says:
 * a double fault, a triple fault (the VM shuts down), or one after the other.
 * Context: vCPU's thread; does not sleep.
 */
void lucid_queue_exception(struct lucid_vcpu *vcpu, u8 vector, s64 error)
{
	struct lucid_events *ev = &vcpu->events;

	if (ev->exception.injected || ev->exception.pending) {
		enum fault_class first = fault_class(ev->exception.vector);
		enum fault_class second = fault_class(vector);

		if (ev->exception.vector == X86_TRAP_DF) {
			lucid_request(vcpu, LUCID_REQ_TRIPLE_FAULT);
			return;
		}
		if ((first == FAULT_CONTRIBUTORY && second == FAULT_CONTRIBUTORY) ||
		    (first == FAULT_PAGE && second != FAULT_BENIGN)) {
			vector = X86_TRAP_DF;
			error = 0;
		}
		/* Else the second is delivered; the first one's instruction runs again. */
	}
	/*
	 * An interrupt or NMI in whose delivery this happened is over: it was
	 * acknowledged, the exception's handler returns to what it interrupted.
	 */
	if (ev->interrupt.again)
		ev->interrupt.injected = ev->interrupt.again = false;
	ev->nmi.injected = false;
	ev->exception.injected = false;
	ev->exception.pending = true;
	ev->exception.vector = vector;
	ev->exception.has_error = error != LUCID_NO_ERROR && (vcpu->cr0 & X86_CR0_PE);
	ev->exception.error = ev->exception.has_error ? error : 0;
	vcpu->events_armed = true;
}

/**
 * lucid_queue_page_fault - raise #PF
 * @vcpu: the vCPU
 * @cr2: the linear address
 * @error: the error code
 */
void lucid_queue_page_fault(struct lucid_vcpu *vcpu, u64 cr2, u32 error)
{
	lucid_hw_set_cr2(vcpu, cr2);
	lucid_queue_exception(vcpu, X86_TRAP_PF, error);
}

/**
 * lucid_interrupt_ready - would an interrupt be delivered by the next entry?
 * @vcpu: the vCPU
 */
bool lucid_interrupt_ready(struct lucid_vcpu *vcpu)
{
	const struct lucid_events *ev = &vcpu->events;

	return (lucid_hw_get_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !lucid_hw_get_shadow(vcpu) && !ev->interrupt.injected &&
	       !ev->exception.pending && !ev->exception.injected && !ev->nmi.injected;
}

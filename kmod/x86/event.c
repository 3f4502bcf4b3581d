// SPDX-License-Identifier: GPL-2.0
/* Exceptions on their way into the guest. */

#include <asm/processor-flags.h>

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

/* ---- injection ------------------------------------------------------------------- */

/**
 * lucid_event_cut_short - a delivery ended in an exit: it is to be done again
 * @vcpu: the vCPU
 * @info: LUCID_EVENT_, as the exit tells
 * @error: its error code
 * @injecting: what the entry was to inject, 0: nothing
 *
 * Instructions that raise an event (INT n, INT3, INTO, ICEBP) run again: RIP is
 * still theirs.
 */
void lucid_event_cut_short(struct lucid_vcpu *vcpu, u32 info, u32 error, u32 injecting)
{
	struct lucid_events *ev = &vcpu->events;
	u8 vector = info & LUCID_EVENT_VECTOR;

	switch (info & LUCID_EVENT_TYPE) {
	case LUCID_EVENT_INTR:
		ev->interrupt.injected = ev->interrupt.again = true;
		ev->interrupt.soft = false;
		ev->interrupt.vector = vector;
		break;
	case LUCID_EVENT_NMI:
		ev->nmi.injected = true;
		break;
	case LUCID_EVENT_EXCEPTION:
		/* SVM tells INT3 and INTO like this. */
		if (vector == X86_TRAP_BP || vector == X86_TRAP_OF)
			return;
		ev->exception.injected = true;
		ev->exception.vector = vector;
		/* Real mode has none, and an entry with one would be refused. */
		ev->exception.has_error = (info & LUCID_EVENT_HAS_ERROR) &&
					  (vcpu->cr0 & X86_CR0_PE);
		ev->exception.error = error;
		break;
	case LUCID_EVENT_SOFT:
		/* ... unless it was not an instruction but ours. */
		if ((injecting & LUCID_EVENT_TYPE) != LUCID_EVENT_SOFT)
			return;
		ev->interrupt.injected = ev->interrupt.again = true;
		ev->interrupt.soft = true;
		ev->interrupt.vector = vector;
		break;
	default:
		return;		/* VMX's types for software exceptions */
	}
	vcpu->events_armed = true;
}

/**
 * lucid_event_delivered - what the entry was to inject has gone in
 * @vcpu: the vCPU
 * @info: LUCID_EVENT_
 */
void lucid_event_delivered(struct lucid_vcpu *vcpu, u32 info)
{
	struct lucid_events *ev = &vcpu->events;

	switch (info & LUCID_EVENT_TYPE) {
	case LUCID_EVENT_EXCEPTION:
		ev->exception.injected = false;
		break;
	case LUCID_EVENT_NMI:
		ev->nmi.injected = false;
		break;
	default:
		ev->interrupt.injected = ev->interrupt.again = ev->interrupt.overtaken = false;
	}
}

/* SDM vol. 3A, "Exception and Interrupt Reference"; #DB may be either. */
static bool is_fault(u8 vector)
{
	const u32 others = BIT(X86_TRAP_DB) | BIT(X86_TRAP_NMI) | BIT(X86_TRAP_BP) |
			   BIT(X86_TRAP_OF) | BIT(X86_TRAP_DF) | BIT(X86_TRAP_MC);

	return vector < 32 && !(BIT(vector) & others);
}

/**
 * lucid_inject - put the most urgent of @vcpu->events into the next entry
 * @vcpu: the vCPU
 *
 * Order: what was cut short, then exceptions, NMI, interrupts (APM vol. 2,
 * "Priority Among Simultaneous Exceptions and Interrupts"; SDM vol. 3A,
 * "Prioritization of Concurrent Events").
 * Context: interrupts off.  Return: true if more is waiting behind it.
 */
bool lucid_inject(struct lucid_vcpu *vcpu)
{
	struct lucid_events *ev = &vcpu->events;
	bool took_interrupt = false, took_nmi = false, hold;

	/*
	 * An exception goes before an interrupt that userspace has queued; that
	 * one must then wait until the handler lets interrupts in.
	 */
	if (ev->exception.pending && !ev->exception.injected) {
		ev->interrupt.overtaken = ev->interrupt.injected;
		ev->exception.pending = false;
		ev->exception.injected = true;
		/* The CPU would push RF set for a fault; injected it does not. */
		if (is_fault(ev->exception.vector))
			lucid_hw_set_rflags(vcpu, lucid_hw_get_rflags(vcpu) | X86_EFLAGS_RF);
	}
	hold = ev->interrupt.overtaken &&
	       (!(lucid_hw_get_rflags(vcpu) & X86_EFLAGS_IF) || lucid_hw_get_shadow(vcpu));

	if (ev->exception.injected) {
		lucid_hw_put_event(vcpu, LUCID_EVENT_EXCEPTION | ev->exception.vector |
				   (ev->exception.has_error ? LUCID_EVENT_HAS_ERROR : 0),
				   ev->exception.error);
	} else if (ev->nmi.injected) {
		lucid_hw_put_event(vcpu, LUCID_EVENT_NMI | X86_TRAP_NMI, 0);
		took_nmi = true;
	} else if (ev->interrupt.injected && !hold) {
		lucid_hw_put_event(vcpu, (ev->interrupt.soft ? LUCID_EVENT_SOFT :
							       LUCID_EVENT_INTR) |
				   ev->interrupt.vector, 0);
		took_interrupt = true;
	} else if (ev->nmi.pending && lucid_hw_nmi_allowed(vcpu)) {
		ev->nmi.pending--;
		ev->nmi.injected = true;
		lucid_hw_put_event(vcpu, LUCID_EVENT_NMI | X86_TRAP_NMI, 0);
		took_nmi = true;
	}
	lucid_hw_nmi_window(vcpu);
	if (ev->interrupt.injected && hold)
		lucid_hw_interrupt_window(vcpu, true);
	return ev->nmi.pending || ev->exception.pending ||
	       (ev->nmi.injected && !took_nmi) ||
	       (ev->interrupt.injected && !took_interrupt);
}

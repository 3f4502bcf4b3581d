// SPDX-License-Identifier: GPL-2.0
/*
 * From a message to a vCPU, and what its thread does before it enters: see
 * irq.h for who may touch what.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "../lucid.h"

/**
 * lucid_kick - make a vCPU's thread look at its requests and its inbox
 * @vcpu: the vCPU; what it is to find has been stored
 *
 * Context: any, interrupts off too.
 */
void lucid_kick(struct lucid_vcpu *vcpu)
{
	int me, cpu;

	smp_mb();	/* what was stored, before the mark is read: run.c */
	if (READ_ONCE(vcpu->seat.in_guest)) {
		me = get_cpu();
		cpu = READ_ONCE(vcpu->seat.cpu);
		/* In the guest on this very CPU: its thread runs us. */
		if (cpu != me && cpu_online(cpu))
			smp_send_reschedule(cpu);
		put_cpu();
	} else {
		rcuwait_wake_up(&vcpu->irq.wait);
	}
}

static void look(struct lucid_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->irq.check, true);
	lucid_kick(vcpu);
}

static bool software_enabled(const struct lucid_vcpu *vcpu)
{
	return READ_ONCE(vcpu->irq.lapic.regs[LUCID_APIC_SPIV >> 4]) & 0x100;
}

static int deliver_one(struct lucid_vcpu *vcpu, const struct lucid_irq_msg *msg)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;

	switch (msg->mode) {
	case LUCID_IRQ_FIXED:
	case LUCID_IRQ_LOWEST:
		if (msg->vector < 16 || !software_enabled(vcpu))
			return 0;
		if (msg->level)
			set_bit(msg->vector, irq->level);
		else
			clear_bit(msg->vector, irq->level);
		/* Whoever sets it first kicks. */
		if (!test_and_set_bit(msg->vector, irq->inbox))
			look(vcpu);
		return 1;
	case LUCID_IRQ_NMI:
		atomic_inc(&vcpu->nmi_queued);
		lucid_request(vcpu, LUCID_REQ_NMI);
		lucid_kick(vcpu);
		return 1;
	case LUCID_IRQ_INIT:
		if (msg->level && !msg->assert)
			return 1;	/* the old de-assert: nothing happens */
		clear_bit(LUCID_SIPI_BIT, &irq->init);
		set_bit(LUCID_INIT_BIT, &irq->init);
		lucid_request(vcpu, LUCID_REQ_INIT);
		lucid_kick(vcpu);
		return 1;
	case LUCID_IRQ_STARTUP:
		WRITE_ONCE(irq->sipi_vector, msg->vector);
		smp_wmb();
		set_bit(LUCID_SIPI_BIT, &irq->init);
		lucid_request(vcpu, LUCID_REQ_INIT);
		lucid_kick(vcpu);
		return 1;
	}
	return 0;	/* SMI: there is none; ExtINT comes by LINT0 */
}

/**
 * lucid_irq_deliver - send a message to the local APICs it is meant for
 * @vm: the VM
 * @msg: the message
 * @from: the sender of an IPI, or NULL
 * @shorthand: of the ICR; 0: by destination
 *
 * Context: any.
 * Return: how many took it; -1: nobody is there.
 */
int lucid_irq_deliver(struct lucid_vm *vm, const struct lucid_irq_msg *msg,
		      struct lucid_vcpu *from, unsigned int shorthand)
{
	unsigned int n = smp_load_acquire(&vm->nr_vcpus), i, start = 0;
	int r = -1;

	/* Lowest priority: one of them, each in its turn. */
	if (msg->mode == LUCID_IRQ_LOWEST && n)
		start = READ_ONCE(vm->irq.next_lowest) % n;
	for (i = 0; i < n; i++) {
		struct lucid_vcpu *vcpu = vm->vcpus[(start + i) % n];

		if (shorthand ? (shorthand == 1 && vcpu != from) ||
				(shorthand == 3 && vcpu == from) ||
				!vcpu->irq.lapic.enabled :
				!lucid_lapic_match(&vcpu->irq.lapic, msg))
			continue;
		if (msg->mode == LUCID_IRQ_LOWEST && !software_enabled(vcpu))
			continue;
		r = max(r, 0) + deliver_one(vcpu, msg);
		if (msg->mode == LUCID_IRQ_LOWEST) {
			WRITE_ONCE(vm->irq.next_lowest, (start + i + 1) % n);
			break;
		}
	}
	return r;
}

/* ---- the vCPU's own thread ------------------------------------------------------ */

static u64 now_ns(void)
{
	return ktime_get_ns();
}

static enum hrtimer_restart timer_fires(struct hrtimer *timer)
{
	struct lucid_vcpu *vcpu = container_of(timer, struct lucid_vcpu, irq.timer);

	/* Periods are started by the thread: a vCPU that does not run costs nothing. */
	WRITE_ONCE(vcpu->irq.timer_fired, true);
	look(vcpu);
	return HRTIMER_NORESTART;
}

/**
 * lucid_irq_arm_timer - set the host's timer to the local APIC's deadline
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, interrupts on or off.
 */
void lucid_irq_arm_timer(struct lucid_vcpu *vcpu)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;
	u64 deadline = irq->lapic.timer_deadline;

	if (deadline == irq->armed)
		return;
	irq->armed = deadline;
	if (deadline == LUCID_NEVER) {
		hrtimer_try_to_cancel(&irq->timer);	/* one that fires now finds nothing due */
	} else if (deadline <= now_ns()) {
		hrtimer_try_to_cancel(&irq->timer);
		WRITE_ONCE(irq->timer_fired, true);
		WRITE_ONCE(irq->check, true);
	} else {
		hrtimer_start(&irq->timer, ns_to_ktime(min_t(u64, deadline, KTIME_MAX)),
			      HRTIMER_MODE_ABS_HARD);
	}
}

/* IA32_TSC_DEADLINE in the clock of the timer (SDM vol. 3A, "TSC-Deadline Mode"). */
static void set_tsc_deadline(struct lucid_vcpu *vcpu, u64 deadline)
{
	struct lucid_lapic *l = &vcpu->irq.lapic;
	u64 now = rdtsc() + vcpu->tsc_offset, ns = now_ns(), left;

	l->tsc_deadline = deadline;
	l->timer_period = 0;
	if (!deadline) {
		l->timer_deadline = LUCID_NEVER;
	} else if (deadline <= now) {
		l->timer_deadline = ns;
	} else {
		left = min(deadline - now, ~0ull >> 8);
		l->timer_deadline = ns + mul_u64_u32_div(left, 1000000, tsc_khz) + 1;
	}
	lucid_irq_arm_timer(vcpu);
}

/**
 * lucid_irq_sync - what has come meanwhile goes into the local APIC
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, or with its lock; interrupts on or off.
 */
void lucid_irq_sync(struct lucid_vcpu *vcpu)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;
	unsigned int i;

	WRITE_ONCE(irq->check, false);
	smp_mb();	/* whoever stores from here on sets it again */
	for (i = 0; i < ARRAY_SIZE(irq->inbox); i++) {
		unsigned long bits = READ_ONCE(irq->inbox[i]);

		if (!bits)
			continue;
		bits = xchg(&irq->inbox[i], 0);
		while (bits) {
			unsigned int bit = __ffs(bits), vector = i * BITS_PER_LONG + bit;

			bits &= bits - 1;
			lucid_lapic_accept(&irq->lapic, vector, test_bit(vector, irq->level));
		}
	}
	/* Again if the new deadline has passed already: nobody would kick. */
	while (READ_ONCE(irq->timer_fired)) {
		WRITE_ONCE(irq->timer_fired, false);
		irq->armed = LUCID_NEVER;
		lucid_lapic_timer_due(&irq->lapic, now_ns());
		lucid_irq_arm_timer(vcpu);
	}
}

static bool extint_pending(struct lucid_vcpu *vcpu)
{
	return lucid_lapic_takes_extint(&vcpu->irq.lapic) && lucid_pic_output(&vcpu->vm->irq.pic);
}

/**
 * lucid_irq_has_pending - is there an interrupt that the vCPU would take?
 * @vcpu: the vCPU, synced
 *
 * Whether the guest lets it in (IF) is another question.
 */
bool lucid_irq_has_pending(struct lucid_vcpu *vcpu)
{
	return lucid_lapic_pending(&vcpu->irq.lapic) >= 0 || extint_pending(vcpu);
}

/* The vector that the CPU is to take now: INTA, or IRR to ISR.  -1: none. */
static int take_vector(struct lucid_vcpu *vcpu)
{
	struct lucid_irq *irq = &vcpu->vm->irq;
	unsigned long flags;
	int vector = -1;

	if (extint_pending(vcpu)) {
		raw_spin_lock_irqsave(&irq->lock, flags);
		if (lucid_pic_output(&irq->pic))
			vector = lucid_pic_ack(&irq->pic);
		raw_spin_unlock_irqrestore(&irq->lock, flags);
		if (vector >= 0)
			return vector;
	}
	vector = lucid_lapic_pending(&vcpu->irq.lapic);
	if (vector >= 0)
		lucid_lapic_ack(&vcpu->irq.lapic, vector);
	return vector;
}

/**
 * lucid_irq_before_entry - @check was set: take what can be taken, wait for the rest
 * @vcpu: the vCPU
 *
 * Context: in a stay, interrupts off.
 */
void lucid_irq_before_entry(struct lucid_vcpu *vcpu)
{
	struct lucid_events *ev = &vcpu->events;
	int vector;

	lucid_irq_sync(vcpu);
	if (!lucid_irq_has_pending(vcpu))
		return;
	/* An NMI goes first. */
	if (!lucid_interrupt_ready(vcpu) ||
	    (vcpu->events.nmi.pending && lucid_hw_nmi_allowed(vcpu))) {
		lucid_hw_interrupt_window(vcpu, true);	/* its exit sets @check */
		return;
	}
	vector = take_vector(vcpu);
	if (vector < 0)
		return;
	ev->interrupt.injected = true;
	ev->interrupt.soft = false;
	ev->interrupt.vector = vector;
	vcpu->events_armed = true;
	/* One of higher priority, or another of the 8259s'. */
	if (lucid_irq_has_pending(vcpu))
		lucid_hw_interrupt_window(vcpu, true);
}

/**
 * lucid_irq_lapic_done - do what a write to the local APIC asks for
 * @vcpu: the vCPU
 * @what: LUCID_APIC_* of the write
 * @vector: of LUCID_APIC_EOI_SENT
 */
void lucid_irq_lapic_done(struct lucid_vcpu *vcpu, u32 what, u8 vector)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;
	struct lucid_irq_msg msg;
	unsigned int shorthand;

	if (what & LUCID_APIC_CHECK)
		WRITE_ONCE(irq->check, true);
	if (what & LUCID_APIC_TIMER)
		lucid_irq_arm_timer(vcpu);
	if (what & LUCID_APIC_EOI_SENT)
		lucid_irq_eoi(vcpu->vm, vector);
	if (what & LUCID_APIC_SEND) {
		shorthand = lucid_lapic_ipi(&irq->lapic, &msg);
		lucid_irq_deliver(vcpu->vm, &msg, vcpu, shorthand);
	}
}

int lucid_irq_get_msr(struct lucid_vcpu *vcpu, u32 index, u64 *value)
{
	struct lucid_lapic *l = &vcpu->irq.lapic;

	if (index == MSR_IA32_TSC_DEADLINE) {
		*value = l->tsc_deadline;
		return 0;
	}
	if (!vcpu->vm->irq.in_kernel)
		return LUCID_GP;
	lucid_irq_sync(vcpu);
	WRITE_ONCE(vcpu->irq.check, true);
	return lucid_lapic_read_msr(l, index, now_ns(), value) ? LUCID_GP : 0;
}

int lucid_irq_set_msr(struct lucid_vcpu *vcpu, u32 index, u64 value)
{
	struct lucid_lapic *l = &vcpu->irq.lapic;
	u8 vector = 0;
	u32 what;

	if (index == MSR_IA32_TSC_DEADLINE) {
		/* In the other modes a write is lost (SDM, "TSC-Deadline Mode"). */
		if (vcpu->vm->irq.in_kernel && lucid_lapic_tsc_deadline_mode(l))
			set_tsc_deadline(vcpu, value);
		return 0;
	}
	if (!vcpu->vm->irq.in_kernel)
		return LUCID_GP;
	what = lucid_lapic_write_msr(l, index, value, now_ns(), &vector);
	if (what & LUCID_APIC_GP)
		return LUCID_GP;
	if (index == 0x800 + (LUCID_APIC_TPR >> 4))
		lucid_apic_tpr_changed(vcpu);
	lucid_irq_lapic_done(vcpu, what, vector);
	return 0;
}

/* ---- birth, reset, death ----------------------------------------------------------- */

void lucid_irq_vcpu_init(struct lucid_vcpu *vcpu)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;

	rcuwait_init(&irq->wait);
	hrtimer_init(&irq->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	irq->timer.function = timer_fires;
	irq->armed = LUCID_NEVER;
	irq->lapic.id = vcpu->id;
	irq->lapic.bsp = vcpu->id == vcpu->vm->irq.boot_id;
	irq->lapic.timer_deadline = LUCID_NEVER;
	lucid_lapic_reset(&irq->lapic, false);
}

void lucid_irq_vcpu_destroy(struct lucid_vcpu *vcpu)
{
	if (vcpu->irq.timer.function)
		hrtimer_cancel(&vcpu->irq.timer);
}

void lucid_irq_vcpu_reset(struct lucid_vcpu *vcpu, bool init)
{
	struct lucid_irq_vcpu *irq = &vcpu->irq;
	unsigned int i;

	lucid_lapic_reset(&irq->lapic, init);
	for (i = 0; i < ARRAY_SIZE(irq->inbox); i++)
		xchg(&irq->inbox[i], 0);
	lucid_irq_arm_timer(vcpu);
}

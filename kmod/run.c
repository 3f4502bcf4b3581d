// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_RUN: two loops.
 *
 * The outer one (lucid_vcpu_run) may sleep and be preempted: it answers
 * signals, completes I/O, serves slow exits.  The inner one (stay) runs on one
 * CPU with the guest's FPU loaded; it enters, serves what can be served with
 * interrupts off (or on, without sleeping), and enters again.  Nothing of the
 * guest's outlives a stay, so a vCPU is never switched out half loaded and no
 * preemption notifier is needed.
 *
 * Before every entry, with interrupts off, the inner loop looks whether the
 * host wants its CPU: need_resched, signals, task work and the freezer (all in
 * the thread's flags), pending softirqs, requests to the vCPU.  Host interrupts
 * need no look: with one pending, VMRUN exits at once.
 *
 * The order between an entry and a change of the nested tables:
 *
 *   vCPU thread                          who changes the tables
 *   -----------                          ----------------------
 *   interrupts off                       edit entries
 *   seat.in_guest = 1                    mem.epoch++
 *   full barrier                         full barrier
 *   read mem.epoch, flush if it moved    in_guest? send an IPI to its CPU, wait
 *   enter                                only then free pages or tables
 *
 * Either the thread sees the new epoch and flushes, or the other side sees the
 * mark, and its IPI ends the guest; the wait is over when the CPU has taken the
 * IPI, which it can only outside the guest.  The mark stays up for the whole
 * stay: one barrier a stay, not one an entry.  Re-entries only read the epoch
 * again: a change after that read finds the mark long visible.
 */
#define pr_fmt(fmt) "lucid: " fmt

#include <linux/delay.h>
#include <linux/entry-kvm.h>
#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/timex.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>

#include "lucid.h"

/* ---- events --------------------------------------------------------------- */

/**
 * lucid_vcpu_take_init - do what INIT and SIPI ask for, if they have come
 * @vcpu: the vCPU, locked, outside of a stay
 */
void lucid_vcpu_take_init(struct lucid_vcpu *vcpu)
{
	/* Both at once: a SIPI must not be looked at before its INIT. */
	unsigned long bits = READ_ONCE(vcpu->irq.init) ? xchg(&vcpu->irq.init, 0) : 0;

	if (bits & BIT(LUCID_INIT_BIT)) {
		lucid_vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->id == vcpu->vm->irq.boot_id ? KVM_MP_STATE_RUNNABLE :
								     KVM_MP_STATE_INIT_RECEIVED;
	}
	/* SIPI means something after INIT only (SDM vol. 3A, "MP Initialization"). */
	if ((bits & BIT(LUCID_SIPI_BIT)) &&
	    (vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED ||
	     vcpu->mp_state == KVM_MP_STATE_AP_RESET_HOLD)) {
		lucid_vcpu_start(vcpu, READ_ONCE(vcpu->irq.sipi_vector));
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	}
}

static int take_requests(struct lucid_vcpu *vcpu)
{
	if (likely(!READ_ONCE(vcpu->requests)))
		return LUCID_REENTER;
	if (unlikely(test_and_clear_bit(LUCID_REQ_TRIPLE_FAULT, &vcpu->requests))) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return LUCID_TO_USER;
	}
	if (test_and_clear_bit(LUCID_REQ_NMI, &vcpu->requests)) {
		/* One can wait behind the one being served; one more if none is. */
		unsigned int limit = lucid_hw_nmi_masked(vcpu) || vcpu->events.nmi.injected ? 1 : 2;
		unsigned int n = vcpu->events.nmi.pending + atomic_xchg(&vcpu->nmi_queued, 0);

		vcpu->events.nmi.pending = min(n, limit);
		vcpu->events_armed |= vcpu->events.nmi.pending;
	}
	if (test_and_clear_bit(LUCID_REQ_INIT, &vcpu->requests))
		lucid_vcpu_take_init(vcpu);
	if (test_and_clear_bit(LUCID_REQ_CLOCK, &vcpu->requests))
		lucid_clock_serve(vcpu, false);
	if (test_and_clear_bit(LUCID_REQ_WALL_CLOCK, &vcpu->requests))
		lucid_clock_serve(vcpu, true);
	return LUCID_REENTER;
}

/* ---- the inner loop --------------------------------------------------------- */

/* Which tag to enter with, what to flush.  Interrupts off, marked in-guest. */
static __always_inline void choose_tag(struct lucid_vcpu *vcpu, struct lucid_tlb_cpu *tc,
				       int cpu, struct lucid_tlb_decision *d)
{
	u64 epoch = READ_ONCE(vcpu->vm->mem.epoch);

	if (likely(lucid_tlb_is_warm(tc, &vcpu->tlb, cpu, epoch))) {
		d->flush = LUCID_TLB_KEEP;
		return;
	}
	*d = lucid_tlb_decide(tc, &vcpu->tlb, cpu, epoch);
	vcpu->stats.tag[d->cause]++;
	lucid_hw_set_tag(vcpu, vcpu->tlb.tag, d->flush);
}

/*
 * Does the host, or somebody with a request, want this thread out of the guest?
 * Softirqs only after the guest has run: the outer loop has given them their
 * chance, and if they are left to ksoftirqd they may stay pending for long.
 */
static __always_inline bool host_wants_cpu(struct lucid_vcpu *vcpu, bool again)
{
	return __xfer_to_guest_mode_work_pending() || (again && local_softirq_pending()) ||
	       READ_ONCE(vcpu->requests);
}

/*
 * Interrupts off again after they were on in a stay.  What an exit restores may
 * have changed by IPI: on VMX CR4; on both the LDTR, when another thread called
 * modify_ldt() (the old LDT's memory is being freed).
 */
static void interrupts_off_again(struct lucid_vcpu *vcpu)
{
	local_irq_disable();
	vcpu->rested = false;
	if (unlikely(!this_cpu_read(lucid_cpu_enabled)))
		return;		/* turned off meanwhile: there will be no entry */
	if (!static_branch_likely(&lucid_is_svm))
		lucid_hw_save_host(vcpu);
#ifdef CONFIG_MODIFY_LDT_SYSCALL
	else if (unlikely(READ_ONCE(current->mm->context.ldt)))
		lucid_hw_save_host(vcpu);
#endif
}

static void account_exit(struct lucid_vcpu *vcpu, u64 now)
{
	if (vcpu->stats.exit_tsc)
		vcpu->stats.exit[vcpu->stats.exit_index].cycles += now - vcpu->stats.exit_tsc;
	vcpu->stats.exit_tsc = 0;
}

static int entry_failed(struct lucid_vcpu *vcpu)
{
	struct lucid_refusal *why = &vcpu->refusal;

	why->reason = lucid_hw_exit_code(vcpu);
	lucid_hw_entry_failed(vcpu, why->words, sizeof(why->words));
	pr_notice_ratelimited("VM %llu vCPU %u: entry refused (%#llx): %s\n", vcpu->vm->id,
			      vcpu->id, why->reason, why->words);
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = why->reason;
	vcpu->run->fail_entry.cpu = vcpu->last_cpu;
	return LUCID_TO_USER;
}

/*
 * One stay in the guest.  Called and left with interrupts off, on one CPU.
 * Return: enum lucid_next (REENTER: come again after the host had its turn)
 * or a negative errno.
 */
static int stay(struct lucid_vcpu *vcpu)
{
	struct lucid_tlb_cpu *tc = this_cpu_ptr(&lucid_tlb_cpus);
	int cpu = smp_processor_id();
	struct lucid_tlb_decision tag;
	bool again = false;
	int r;

	if (unlikely(!this_cpu_read(lucid_cpu_enabled)))
		return LUCID_NOT_HERE;

	vcpu->rested = false;
	lucid_hw_load(vcpu);
	vcpu->seat.cpu = cpu;
	/* The mark, and the full barrier between it and the read of the epoch. */
	smp_store_mb(vcpu->seat.in_guest, 1);
	lucid_guest_timing_enter();

	for (;;) {
		r = LUCID_REENTER;
		if (unlikely(host_wants_cpu(vcpu, again)))
			break;
		again = true;
		if (unlikely(READ_ONCE(vcpu->run->request_interrupt_window)) &&
		    !vcpu->vm->irq.in_kernel) {
			if (lucid_interrupt_ready(vcpu)) {
				vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
				r = LUCID_TO_USER;
				break;
			}
			lucid_hw_interrupt_window(vcpu, true);
		}
		if (unlikely(READ_ONCE(vcpu->irq.check)) && vcpu->vm->irq.in_kernel)
			lucid_irq_before_entry(vcpu);
		if (unlikely(vcpu->events_armed))
			vcpu->events_armed = lucid_inject(vcpu);
		choose_tag(vcpu, tc, cpu, &tag);
		if (unlikely(vcpu->stats.timed))
			account_exit(vcpu, rdtsc());

		vcpu->stats.entries++;
		if (unlikely(!lucid_hw_enter(vcpu))) {
			r = LUCID_ENTRY_FAILED;
			break;
		}
		if (unlikely(tag.flush != LUCID_TLB_KEEP)) {
			lucid_tlb_commit(tc, &vcpu->tlb, &tag);
			lucid_hw_set_tag(vcpu, vcpu->tlb.tag, LUCID_TLB_KEEP);
		}
		if (unlikely(vcpu->stats.timed))
			vcpu->stats.exit_tsc = rdtsc();

		r = lucid_hw_exit_fast(vcpu);
		vcpu->stats.exit[vcpu->stats.exit_index].count++;
		/*
		 * An event whose delivery exits comes before a host interrupt at
		 * every VMRUN: with one waiting, interrupts are opened here, or a
		 * guest could keep this CPU for ever.
		 */
		if (likely(r == LUCID_REENTER)) {
			if (likely(!vcpu->events_armed))
				continue;
			r = LUCID_REENTER_IRQ;
		}
		if (r == LUCID_REENTER_IRQ) {
			/* The host's interrupt is taken here, as guest time. */
			local_irq_enable();
			nop();
			interrupts_off_again(vcpu);
			if (unlikely(!this_cpu_read(lucid_cpu_enabled)))
				break;
			continue;
		}
		if (r == LUCID_ATOMIC) {
			local_irq_enable();
			r = lucid_hw_exit_atomic(vcpu);
			interrupts_off_again(vcpu);
			if (likely(r == LUCID_REENTER) && likely(this_cpu_read(lucid_cpu_enabled)))
				continue;
		}
		if (r == LUCID_MMIO) {
			r = lucid_hw_exit_mmio(vcpu);
			if (r == LUCID_REENTER && likely(this_cpu_read(lucid_cpu_enabled)))
				continue;
		}
		break;
	}

	/* VMSCAPE: what the guest taught the predictors is not for user mode. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	lucid_guest_timing_exit();
	WRITE_ONCE(vcpu->seat.in_guest, 0);
	lucid_hw_unload(vcpu);
	return r;
}

/* ---- the outer loop ----------------------------------------------------------- */

static int host_work(struct lucid_vcpu *vcpu)
{
	if (__xfer_to_guest_mode_work_pending()) {
		/* Signals are ours to answer; the rest (resched, task work) is done here. */
		if (signal_pending(current))
			return -EINTR;
		return lucid_xfer_to_guest_mode_work();
	}
	cond_resched();
	return 0;
}

/* May a vCPU that sleeps go on? */
static bool may_run(struct lucid_vcpu *vcpu)
{
	if (vcpu->mp_state != KVM_MP_STATE_HALTED)
		return vcpu->mp_state == KVM_MP_STATE_RUNNABLE;
	return vcpu->events.exception.pending || vcpu->events.exception.injected ||
	       vcpu->events.interrupt.injected || vcpu->events.nmi.injected ||
	       (vcpu->events.nmi.pending && lucid_hw_nmi_allowed(vcpu)) ||
	       (lucid_interrupt_ready(vcpu) && lucid_irq_has_pending(vcpu));
}

/*
 * Sleep until the vCPU has something to do: HLT, or an AP that waits for its
 * INIT and SIPI.  Return: LUCID_REENTER, -EINTR, or what a request asks for.
 */
static int sleep_until_runnable(struct lucid_vcpu *vcpu)
{
	int r;

	for (;;) {
		/* With a storm of kicks the wait below never waits. */
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
		r = take_requests(vcpu);
		if (r)
			return r;
		lucid_irq_sync(vcpu);	/* clears @check, then looks */
		if (may_run(vcpu)) {
			vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
			WRITE_ONCE(vcpu->irq.check, true);	/* for the stay */
			return LUCID_REENTER;
		}
		if (rcuwait_wait_event(&vcpu->irq.wait, READ_ONCE(vcpu->irq.check) ||
				       READ_ONCE(vcpu->requests), TASK_INTERRUPTIBLE))
			return -EINTR;
	}
}

static int run_loop(struct lucid_vcpu *vcpu)
{
	int r;

	do {
		r = host_work(vcpu);
		if (r)
			break;
		if (unlikely(vcpu->mp_state != KVM_MP_STATE_RUNNABLE)) {
			r = sleep_until_runnable(vcpu);
			/* A sleep leaves work for the host behind (rseq). */
			if (!r)
				r = host_work(vcpu);
			if (r)
				break;
		}
		r = lucid_table_cache_fill(&vcpu->tables);
		if (r)
			break;
		r = take_requests(vcpu);
		if (r)
			break;
		if (unlikely(vcpu->mp_state != KVM_MP_STATE_RUNNABLE))
			continue;	/* INIT */
		if (unlikely(vcpu->emulate) && !vcpu->events_armed &&
		    !(READ_ONCE(vcpu->irq.check) && vcpu->vm->irq.in_kernel)) {
			r = lucid_emulate_step(vcpu);
		} else {
			lucid_fpu_enter(vcpu);
			lucid_hw_arrive(vcpu);
			local_irq_disable();
			r = stay(vcpu);
			local_irq_enable();
			lucid_fpu_leave(vcpu);
		}

		if (r == LUCID_SLOW)
			r = lucid_hw_exit_slow(vcpu);
		if (r == LUCID_HALTED) {
			vcpu->mp_state = KVM_MP_STATE_HALTED;
			r = LUCID_REENTER;
		} else if (r == LUCID_NOT_HERE) {
			/* Make room for the hotplug thread, which moves us away. */
			msleep_interruptible(1);
			r = LUCID_REENTER;
		} else if (r == LUCID_ENTRY_FAILED) {
			r = entry_failed(vcpu);
		}
	} while (r == LUCID_REENTER || r == LUCID_REENTER_IRQ);

	if (vcpu->stats.timed)
		account_exit(vcpu, rdtsc());
	return r;
}

#define LUCID_SYNC_REGS	(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static int sync_in(struct lucid_vcpu *vcpu, u64 dirty)
{
	struct kvm_sync_regs *s = &vcpu->run->s.regs;

	/* Copied before they are checked: the page is shared with userspace. */
	if (dirty & KVM_SYNC_X86_REGS) {
		struct kvm_regs regs = s->regs;

		lucid_set_regs(vcpu, &regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs;

		memcpy(&sregs, &s->sregs, sizeof(sregs));
		barrier();
		if (lucid_set_sregs(vcpu, &sregs))
			return -EINVAL;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		struct kvm_vcpu_events events;

		memcpy(&events, &s->events, sizeof(events));
		barrier();
		if (lucid_set_events(vcpu, &events))
			return -EINVAL;
	}
	WRITE_ONCE(vcpu->run->kvm_dirty_regs, dirty & ~(u64)LUCID_SYNC_REGS);
	return 0;
}

static void sync_out(struct lucid_vcpu *vcpu, u64 valid)
{
	struct kvm_sync_regs *s = &vcpu->run->s.regs;

	if (valid & KVM_SYNC_X86_REGS)
		lucid_get_regs(vcpu, &s->regs);
	if (valid & KVM_SYNC_X86_SREGS)
		lucid_get_sregs(vcpu, &s->sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		lucid_get_events(vcpu, &s->events);
}

/**
 * lucid_vcpu_run - the ioctl KVM_RUN
 * @vcpu: the vCPU
 *
 * Context: vcpu->lock held; sleeps.
 * Return: 0 with run->exit_reason set, or what KVM's api.rst says: -EINTR
 * (signal, immediate_exit), -EFAULT (memory behind a slot is gone), -EINVAL.
 */
int lucid_vcpu_run(struct lucid_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = READ_ONCE(run->kvm_valid_regs), dirty = READ_ONCE(run->kvm_dirty_regs);
	sigset_t saved;
	int r;

	if ((valid | dirty) & ~(u64)LUCID_SYNC_REGS)
		return -EINVAL;
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &saved);

	if (dirty) {
		r = sync_in(vcpu, dirty);
		if (r)
			goto out;
	}
	if (!vcpu->vm->irq.in_kernel && lucid_set_cr8(vcpu, READ_ONCE(run->cr8))) {
		r = -EINVAL;
		goto out;
	}
	r = lucid_io_complete(vcpu);
	if (r == LUCID_REENTER) {
		if (lucid_immediate_exit(run)) {
			r = -EINTR;
		} else {
			r = run_loop(vcpu);
		}
	}
out:
	if (r == LUCID_TO_USER)
		r = 0;
	else if (r == -EINTR)
		run->exit_reason = KVM_EXIT_INTR;
	vcpu->stats.userspace_exits++;
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &saved, NULL);

	if (valid)
		sync_out(vcpu, valid);
	run->if_flag = !!(lucid_hw_get_rflags(vcpu) & X86_EFLAGS_IF);
	run->ready_for_interrupt_injection = vcpu->vm->irq.in_kernel ||
					     lucid_interrupt_ready(vcpu);
	run->cr8 = vcpu->cr8;
	run->apic_base = vcpu->apic_base;
	run->flags = 0;
	return r;
}

/* ---- what others want of a running vCPU ------------------------------------------ */

static void kicked(void *unused)
{
	/* The interrupt itself ended the guest; see the order at the top. */
}

/**
 * lucid_vm_flush_remote - end the guest on every CPU that is in it with @vm
 * @vm: the VM
 *
 * Call it after mem.epoch moved.  CPUs that are not in the guest find out by
 * the epoch on their next entry.
 *
 * Context: interrupts on; waits for other CPUs; may hold mem.lock (nobody
 * waits for that with interrupts off).
 */
void lucid_vm_flush_remote(struct lucid_vm *vm)
{
	cpumask_var_t mask;
	unsigned int i, n;
	int me;

	smp_mb();	/* the epoch before the marks: see the table at the top */
	if (!zalloc_cpumask_var(&mask, GFP_ATOMIC)) {
		smp_call_function(kicked, NULL, 1);
		return;
	}
	me = get_cpu();
	n = READ_ONCE(vm->nr_vcpus);
	for (i = 0; i < n; i++) {
		const struct lucid_vcpu *vcpu = READ_ONCE(vm->vcpus[i]);

		if (vcpu && READ_ONCE(vcpu->seat.in_guest)) {
			int cpu = READ_ONCE(vcpu->seat.cpu);

			if (cpu != me)
				__cpumask_set_cpu(cpu, mask);
		}
	}
	if (!cpumask_empty(mask))
		smp_call_function_many(mask, kicked, NULL, 1);
	put_cpu();
	free_cpumask_var(mask);
}

/**
 * lucid_bench_floor - enter and leave, serving nothing
 * @vcpu: the vCPU
 * @b: iterations in, cycles out
 *
 * Context: vcpu->lock held; sleeps.
 * Return: 0; -EINVAL for too many iterations; -EINTR; -EBUSY; -EIO if the
 * guest did not stand on an instruction that exits.
 */
int lucid_bench_floor(struct lucid_vcpu *vcpu, struct lucid_bench_floor *b)
{
	u64 left = b->iterations, t, rip = lucid_hw_get_rip(vcpu);
	struct lucid_tlb_decision tag;
	int r = 0;

	if (b->iterations > 10000000 || b->flags)
		return -EINVAL;
	b->cycles = 0;
	while (left && !r) {
		r = host_work(vcpu);
		if (!r)
			r = take_requests(vcpu);
		if (r)
			break;
		lucid_fpu_enter(vcpu);
		lucid_hw_arrive(vcpu);
		local_irq_disable();
		if (this_cpu_read(lucid_cpu_enabled)) {
			vcpu->rested = false;
			lucid_hw_load(vcpu);
			vcpu->seat.cpu = smp_processor_id();
			smp_store_mb(vcpu->seat.in_guest, 1);
			t = rdtsc();
			while (left && this_cpu_read(lucid_cpu_enabled) && !host_wants_cpu(vcpu, true)) {
				choose_tag(vcpu, this_cpu_ptr(&lucid_tlb_cpus),
					   smp_processor_id(), &tag);
				if (!lucid_hw_enter(vcpu)) {
					r = LUCID_ENTRY_FAILED;
					break;
				}
				lucid_tlb_commit(this_cpu_ptr(&lucid_tlb_cpus), &vcpu->tlb, &tag);
				lucid_hw_set_tag(vcpu, vcpu->tlb.tag, LUCID_TLB_KEEP);
				if (lucid_hw_get_rip(vcpu) != rip) {
					r = -EIO;
					break;
				}
				if (lucid_hw_exit_was_host(vcpu)) {
					local_irq_enable();
					nop();
					interrupts_off_again(vcpu);
					continue;
				}
				left--;
			}
			b->cycles += rdtsc() - t;
			WRITE_ONCE(vcpu->seat.in_guest, 0);
			lucid_hw_unload(vcpu);
		}
		local_irq_enable();
		lucid_fpu_leave(vcpu);
	}
	if (r == LUCID_ENTRY_FAILED)
		entry_failed(vcpu);
	b->exit_code = lucid_hw_exit_code(vcpu);
	return r > 0 ? -EIO : r;
}

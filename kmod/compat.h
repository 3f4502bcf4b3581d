/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that differs between the kernels Lucid runs on.
 *
 *   what                        6.1                    6.12
 *   --------------------------  ---------------------  ---------------------------
 *   guest_state_enter_irqoff    spelled out below from the primitives it is made of,
 *                               so that <linux/kvm_host.h> is not needed
 *   crash, SVM                  the kernel clears      SVME stays set: see main.c
 *                               SVME
 *   UNTRAIN_RET in entry.S      UNTRAIN_RET, and IBPB  UNTRAIN_RET_VM
 *   syscore (suspend)           struct syscore_ops     struct syscore, since 6.12.x
 *   smp_send_reschedule()       a call                 wants <trace/events/ipi.h>
 *   wait for a page, signals    only fatal ones end it any ends it: mem/fault.c
 */
#ifndef LUCID_COMPAT_H
#define LUCID_COMPAT_H

#include <linux/version.h>
#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <linux/vtime.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <trace/events/ipi.h>		/* smp_send_reschedule() is a tracepoint too */
#endif

#ifdef CONFIG_PREEMPT_RT
#error "PREEMPT_RT turns spinlocks into locks that sleep; a stay in the guest takes them with preemption off"
#endif

#define LUCID_KERNEL_6_12	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

/* The shared page's field got a name that warns: to be read once only. */
#if LUCID_KERNEL_6_12
#define lucid_immediate_exit(run)	READ_ONCE((run)->immediate_exit__unsafe)
#else
#define lucid_immediate_exit(run)	READ_ONCE((run)->immediate_exit)
#endif

/* mem/fault.c: a signal may end the wait for a page (userfaultfd), as in KVM. */
#if LUCID_KERNEL_6_12
#define LUCID_FOLL_INTERRUPTIBLE	FOLL_INTERRUPTIBLE
#else
#define LUCID_FOLL_INTERRUPTIBLE	0
#endif

/*
 * Entry of the guest as the kernel's accounting sees it: from here on RCU need
 * not wait for this CPU, and lockdep takes interrupts for enabled.  The order
 * is that of the kernel's own guest_state_enter_irqoff().
 *
 * @rested: nothing has run here but guest and exit handlers since RCU was told.
 * RCU asks by an interrupt (the tick, an IPI), after which it is told again.
 */
static __always_inline void lucid_guest_state_enter(bool *rested)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	if (!context_tracking_guest_enter() && !*rested) {
		*rested = true;
		instrumentation_begin();
#if LUCID_KERNEL_6_12
		rcu_virt_note_context_switch();
#else
		rcu_virt_note_context_switch(smp_processor_id());
#endif
		instrumentation_end();
	}
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void lucid_guest_state_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();

	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

/* Suspend callbacks got a struct and an argument in 6.12.x: Kbuild looks. */
#ifdef LUCID_HAVE_SYSCORE_DATA
#define LUCID_SYSCORE(name, suspend_fn, resume_fn)				\
	static int name##_suspend(void *data) { return suspend_fn(); }		\
	static void name##_resume(void *data) { resume_fn(); }			\
	static const struct syscore_ops name##_ops = {				\
		.suspend = name##_suspend, .resume = name##_resume,		\
	};									\
	static struct syscore name = { .ops = &name##_ops }
#define lucid_register_syscore		register_syscore
#define lucid_unregister_syscore	unregister_syscore
#else
#define LUCID_SYSCORE(name, suspend_fn, resume_fn)				\
	static struct syscore_ops name = { .suspend = suspend_fn, .resume = resume_fn }
#define lucid_register_syscore		register_syscore_ops
#define lucid_unregister_syscore	unregister_syscore_ops
#endif

/*
 * Guest time, for a whole stay: a tick that comes in it is the guest's.
 * Context: interrupts off.
 */
static inline void lucid_guest_timing_enter(void)
{
	vtime_account_guest_enter();
}

static inline void lucid_guest_timing_exit(void)
{
	vtime_account_guest_exit();
}

int lucid_xfer_to_guest_mode_work(void);

#endif

// SPDX-License-Identifier: GPL-2.0
/* A vCPU's thread: enter the guest, serve what brought it out, again. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/lucid.h>

#include "lucid.h"
#include "machine.h"

static bool all_halted_for_good(const struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_cpus; i++)
		if (!m->cpus[i].halted)
			return false;
	return !(m->cpus[0].if_flag && machine_irq_possible(m));
}

static void halt(struct cpu *cpu)
{
	struct machine *m = cpu->machine;
	uint64_t asleep;

	pthread_mutex_lock(&m->lock);
	cpu->halted = true;
	cpu->if_flag = cpu->vcpu.run->if_flag;
	while (!m->over) {
		if (!cpu->vcpu.index && cpu->if_flag && pic_pending(&m->pic))
			break;
		if (all_halted_for_good(m)) {
			machine_end(m, cpu, STATUS_ERROR,
				    "guest stopped: halted %s, and nothing can wake it",
				    m->cpus[0].if_flag ?
				    "with no interrupt that could come" :
				    "with interrupts off");
			break;
		}
		asleep = now_ns();
		pthread_cond_wait(&m->wake, &m->lock);
		cpu->slept_ns += now_ns() - asleep;
	}
	cpu->halted = false;
	pthread_mutex_unlock(&m->lock);
}

/* Ready for the next entry?  Gives the first CPU the interrupt that is due. */
static bool prepare_entry(struct cpu *cpu)
{
	struct machine *m = cpu->machine;
	struct kvm_run *run = cpu->vcpu.run;
	struct kvm_interrupt irq;

	/* Before the look at what a kick announces, so that none is lost. */
	__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (m->over)
		return false;
	if (cpu->vcpu.index || m->vm.irqchip)
		return true;
	pthread_mutex_lock(&m->lock);
	if (pic_pending(&m->pic) && run->ready_for_interrupt_injection) {
		irq.irq = pic_acknowledge(&m->pic);
		if (ioctl(cpu->vcpu.fd, KVM_INTERRUPT, &irq) < 0)
			machine_end(m, cpu, STATUS_ERROR,
				    "%s: KVM_INTERRUPT(%u): %s", m->vm.dev,
				    irq.irq, strerror(errno));
		/* it is spent until KVM_RUN says so again */
		run->ready_for_interrupt_injection = 0;
	}
	run->request_interrupt_window = pic_pending(&m->pic);
	pthread_mutex_unlock(&m->lock);
	return !m->over;
}

static void serve_io(struct cpu *cpu)
{
	struct machine *m = cpu->machine;
	struct kvm_run *run = cpu->vcpu.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	const bool out = run->io.direction == KVM_EXIT_IO_OUT;
	const uint16_t port = run->io.port;

	pthread_mutex_lock(&m->lock);
	output_wait(m);
	for (uint32_t i = 0; i < run->io.count && !m->over; i++) {
		bool claimed = false;
		uint32_t value = 0;

		/* Wider than a byte: as the ISA bus did it, port by port. */
		for (unsigned int b = 0; b < run->io.size; b++, data++) {
			if (out)
				claimed |= machine_port_write(m, cpu, port + b,
							      *data);
			else
				claimed |= machine_port_read(m, port + b, data);
			value |= (uint32_t)*data << 8 * b;
			if (m->over)
				break;
		}
		if (claimed || !m->trace_io)
			continue;
		/* not under the lock: standard error may be a full pipe */
		pthread_mutex_unlock(&m->lock);
		fprintf(stderr, "lucid: port 0x%04x: %s 0x%0*x\n", port,
			out ? "write" : "read", 2 * run->io.size, value);
		pthread_mutex_lock(&m->lock);
	}
	pthread_mutex_unlock(&m->lock);
}

static void serve_mmio(struct cpu *cpu)
{
	struct kvm_run *run = cpu->vcpu.run;
	uint64_t value = 0;

	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	if (!cpu->machine->trace_io)
		return;
	if (run->mmio.len <= 8)
		memcpy(&value, run->mmio.data, run->mmio.len);
	fprintf(stderr, "lucid: memory 0x%llx: %s 0x%0*llx\n",
		(unsigned long long)run->mmio.phys_addr,
		run->mmio.is_write ? "write" : "read", 2 * (int)run->mmio.len,
		(unsigned long long)value);
}

static const char *suberror_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction that it cannot emulate";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "simultaneous exceptions";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit in the middle of an event's delivery";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit that the hardware should not make";
	default:
		return "an unknown one";
	}
}

/* " at RIP" for messages; a shutdown may have cost the CPU its registers. */
static const char *where(struct cpu *cpu)
{
	static __thread char text[64];
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	text[0] = '\0';
	if (ioctl(cpu->vcpu.fd, KVM_GET_REGS, &regs) < 0 ||
	    ioctl(cpu->vcpu.fd, KVM_GET_SREGS, &sregs) < 0)
		return text;
	if (regs.rip == 0xfff0 && sregs.cs.base == 0xffff0000)
		return text;
	snprintf(text, sizeof(text), " at %04x:0x%llx", sregs.cs.selector,
		 (unsigned long long)regs.rip);
	return text;
}

/* ": WHY", where the device can tell why the CPU refused its guest. */
static const char *refusal(struct cpu *cpu)
{
	static __thread char text[sizeof(((struct lucid_refusal *)0)->words) + 2];
	struct lucid_refusal why;

	text[0] = '\0';
	if (ioctl(cpu->vcpu.fd, LUCID_GET_REFUSAL, &why) == 0)
		snprintf(text, sizeof(text), ": %.*s",
			 (int)sizeof(why.words), why.words);
	return text;
}

static void serve(struct cpu *cpu)
{
	struct machine *m = cpu->machine;
	struct kvm_run *run = cpu->vcpu.run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(cpu);
		break;
	case KVM_EXIT_MMIO:
		serve_mmio(cpu);
		break;
	case KVM_EXIT_HLT:
		halt(cpu);
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_INTR:
	case KVM_EXIT_SET_TPR:
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: triple fault%s", where(cpu));
		break;
	case KVM_EXIT_FAIL_ENTRY:
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: the CPU refused to enter it (hardware reason 0x%llx)%s%s",
			    (unsigned long long)
			    run->fail_entry.hardware_entry_failure_reason,
			    where(cpu), refusal(cpu));
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: %s met %s (internal error %u)%s",
			    m->vm.dev, suberror_name(run->internal.suberror),
			    run->internal.suberror, where(cpu));
		break;
	case KVM_EXIT_UNKNOWN:
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: %s does not know the hardware's exit 0x%llx%s",
			    m->vm.dev,
			    (unsigned long long)run->hw.hardware_exit_reason,
			    where(cpu));
		break;
	default:
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: an exit that this tool does not serve: %s%s",
			    exit_reason_name(run->exit_reason), where(cpu));
		break;
	}
}

/* One KVM_RUN; returns the exit's reason, or -1 when the machine is over. */
static int enter(struct cpu *cpu)
{
	int r, err;

	r = ioctl(cpu->vcpu.fd, KVM_RUN, 0);
	err = errno;
	if (r >= 0)
		return cpu->vcpu.run->exit_reason;
	if (err == EINTR || err == EAGAIN)
		return KVM_EXIT_INTR;
	machine_end(cpu->machine, cpu, STATUS_ERROR,
		    "guest stopped: %s: KVM_RUN: %s%s", cpu->machine->vm.dev,
		    strerror(err), where(cpu));
	return -1;
}

void *cpu_thread(void *arg)
{
	struct cpu *cpu = arg;
	struct machine *m = cpu->machine;
	uint64_t start = 0, back = 0, slept;
	int reason;

	/* wait until all threads exist: they may kick each other */
	pthread_mutex_lock(&m->lock);
	pthread_mutex_unlock(&m->lock);

	while (prepare_entry(cpu)) {
		if (m->timed)
			start = now_ns();
		reason = enter(cpu);
		if (m->timed) {
			back = now_ns();
			cpu->stats.run_ns += back - start;
		}
		slept = cpu->slept_ns;
		if (reason >= 0 && reason != KVM_EXIT_INTR)
			serve(cpu);
		/* sleeping in HLT is no cost of serving it */
		if (m->timed && reason >= 0)
			stats_count(&cpu->stats, reason, now_ns() - back -
				    (cpu->slept_ns - slept));
	}
	return NULL;
}

// SPDX-License-Identifier: GPL-2.0
/* See irq.h: the host's side of tests with interrupt controllers in the kernel. */
#define GUEST_LIB
#include "irq.h"
#include <signal.h>

bool guest_x2apic;

void vm_map_apics(struct vm *vm)
{
	/* One page of the tables' room is free: a directory for 3G to 4G */
	uint64_t *pd = gpa_hva(vm, 0x26000), i;
	uint64_t entry = 0x26000 | PTE_P | PTE_W | PTE_U;

	for (i = 0; i < 512; i++)
		pd[i] = 3ul << 30 | i << 21 | PTE_PS | PTE_P | PTE_W | PTE_U;
	memcpy(gpa_hva(vm, 0x21000 + 3 * 8), &entry, 8);	/* ROOT_64_2M */
	memcpy(gpa_hva(vm, 0x25000 + 3 * 8), &entry, 8);	/* ROOT_64_4K */
}

struct vm *vm_create_irq(void)
{
	struct vm *vm = vm_create();

	vm_map_apics(vm);
	GUEST(vm, guest_loses_shadow) = host_is_tcg();
	xioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);
	return vm;
}

struct vcpu *vcpu_create_ap(struct vm *vm, int id)
{
	struct vcpu *c = vcpu_create_bare(vm, id);
	struct kvm_cpuid2 *cpuid = dev_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 1, 0);

	e->ebx = (e->ebx & 0xffffff) | id << 24;
	if (dev_cap(KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		e->ecx |= BIT(24);
	xioctl(c->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return c;
}

struct vcpu *vcpu_create_irq(struct vm *vm, int id)
{
	struct vcpu *c = vcpu_create_ap(vm, id);

	xioctl(c->fd, KVM_SET_MP_STATE,
	       &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	return c;
}

struct vcpu *irq_guest(void *fn)
{
	struct vcpu *c = vcpu_create_irq(vm_create_irq(), 0);

	vcpu_start64(c, fn, 0, 0);
	return c;
}

int irq_line(struct vm *vm, int gsi, int level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	return eioctl(vm->fd, KVM_IRQ_LINE, &l);
}

int irq_pulse(struct vm *vm, int gsi)
{
	return irq_line(vm, gsi, 1) ?: irq_line(vm, gsi, 0);
}

int vcpu_mp_state(struct vcpu *c)
{
	struct kvm_mp_state m;
	int r = eioctl(c->fd, KVM_GET_MP_STATE, &m);

	return r ?: (int)m.mp_state;
}

int vcpu_set_mp_state(struct vcpu *c, int state)
{
	return eioctl(c->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ state });
}

uint32_t lapic_reg(struct vcpu *c, uint32_t offset)
{
	struct kvm_lapic_state s;
	uint32_t v;

	xioctl(c->fd, KVM_GET_LAPIC, &s);
	memcpy(&v, s.regs + offset, sizeof(v));
	return v;
}

struct kvm_irqchip irqchip_get(struct vm *vm, int chip)
{
	struct kvm_irqchip k = { .chip_id = chip };

	xioctl(vm->fd, KVM_GET_IRQCHIP, &k);
	return k;
}

uint64_t tsc_khz(struct vcpu *c)
{
	return xioctl(c->fd, KVM_GET_TSC_KHZ, 0);
}

uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- Threads ----------------------------------------------------------------- */

static void nothing(int sig)
{
	(void)sig;
}

static void *run_thread(void *arg)
{
	struct vcpu_thread *t = arg;
	struct vcpu *c = t->c;
	int r;

	do {
		r = vcpu_run(c);
	} while (!t->stop && (r == -EINTR || r == -EAGAIN));
	vcpu_fetch(c, r);
	t->running = false;
	return NULL;
}

void vcpu_spawn(struct vcpu_thread *t, struct vcpu *c)
{
	struct sigaction sa = { .sa_handler = nothing };
	sigset_t alarm, old;

	sigaction(SIGUSR1, &sa, NULL);
	*t = (struct vcpu_thread){ .c = c, .running = true };
	/* vcpu_next()'s alarm is for the main thread */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, &old);
	if (pthread_create(&t->thread, NULL, run_thread, t)) {
		perror("# selftests/lib: pthread_create");
		abort();
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void vcpu_stop(struct vcpu_thread *t)
{
	t->stop = true;
	while (t->running) {
		t->c->run->immediate_exit = 1;
		pthread_kill(t->thread, SIGUSR1);
		usleep(1000);
	}
	t->c->run->immediate_exit = 0;
	pthread_join(t->thread, NULL);
}

int vcpu_join(struct vcpu_thread *t)
{
	if (WAIT_FOR(!t->running)) {
		pthread_join(t->thread, NULL);
	} else {
		vcpu_stop(t);
		t->c->event = (struct guest_event){ .kind = G_TIMEOUT };
	}
	return t->c->event.kind;
}

int irq_serve(struct vcpu *c)
{
	int kind;

	while ((kind = vcpu_next(c)) == G_SYNC) {
		uint64_t v = c->event.a;

		if ((v & UP && irq_line(c->vm, v & 0xff, 1)) ||
		    (v & DOWN && irq_line(c->vm, v & 0xff, 0)))
			return -1;
		if (!v)
			vcpu_set_regs(c, vcpu_regs(c));
	}
	if (kind != G_DONE)
		vcpu_dump(c);
	return kind;
}

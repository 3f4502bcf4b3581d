// SPDX-License-Identifier: GPL-2.0
/*
 * The paravirtual clock (Documentation/virt/kvm/x86/msr.rst): the guest gives
 * an address, and reads its time from there without an exit: nanoseconds at a
 * TSC value, and how to get from TSC ticks to nanoseconds.
 *
 * While the host's TSC is stable one pair of (TSC, time) serves all vCPUs of a
 * VM, so that they agree to the tick; it moves only when userspace sets the
 * clock.  Else each vCPU gets a new pair when it comes to another CPU.
 */
#include <linux/ktime.h>
#include <linux/timekeeping.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "../lucid.h"

/* A host TSC value and the time it stands for, read as one. */
static void read_pair(u64 *tsc, u64 *ns)
{
	u64 before, after, best = ~0ull, t;
	unsigned long flags;
	int i;

	/* Of some tries the narrowest: an emulated CPU may be stopped in between. */
	for (i = 0; i < 4; i++) {
		local_irq_save(flags);
		before = rdtsc_ordered();
		t = ktime_get_boottime_ns();
		after = rdtsc_ordered();
		local_irq_restore(flags);
		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = t;
		}
	}
}

/* ns = (ticks << shift or >> -shift) * mul >> 32, for tsc_khz. */
static void tsc_scale(s8 *shift, u32 *mul)
{
	u64 hz = (u64)tsc_khz * 1000, base = NSEC_PER_SEC;

	*shift = 0;
	while (hz > base * 2) {
		hz >>= 1;
		(*shift)--;
	}
	while (hz <= base) {
		hz <<= 1;
		(*shift)++;
	}
	*mul = div64_u64(base << 32, hz);
}

static u64 scale(u64 ticks)
{
	s8 shift;
	u32 mul;

	tsc_scale(&shift, &mul);
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return mul_u64_u32_shr(ticks, mul, 32);
}

void lucid_clock_vm_init(struct lucid_vm *vm)
{
	spin_lock_init(&vm->clock.lock);
	read_pair(&vm->clock.tsc, &vm->clock.boot);
	vm->clock.offset = -vm->clock.boot;
}

/* Context: clock.lock held. */
static void refresh_pair(struct lucid_vm *vm)
{
	if (check_tsc_unstable())
		read_pair(&vm->clock.tsc, &vm->clock.boot);
}

/* Guest nanoseconds now, by the VM's pair; *tsc the host's TSC then. */
static u64 guest_ns(struct lucid_vm *vm, u64 *tsc)
{
	u64 ns;

	spin_lock(&vm->clock.lock);
	refresh_pair(vm);
	*tsc = rdtsc_ordered();
	ns = vm->clock.boot + vm->clock.offset + scale(*tsc - vm->clock.tsc);
	spin_unlock(&vm->clock.lock);
	return ns;
}

/*
 * Both structs begin with a version, odd while they are being written.
 * Where the guest has no memory nothing is written.
 */
static void publish(struct lucid_vm *vm, u64 gpa, void *body, u32 *version, unsigned int size)
{
	if (lucid_mem_read(vm, gpa, version, sizeof(*version)))
		return;
	*version = (*version & ~1u) + 1;
	if (lucid_mem_write(vm, gpa, version, sizeof(*version)))
		return;
	smp_wmb();
	if (lucid_mem_write(vm, gpa, body, size))
		return;
	smp_wmb();
	++*version;
	lucid_mem_write(vm, gpa, version, sizeof(*version));
}

static void write_system_time(struct lucid_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info info = {};
	struct lucid_vm *vm = vcpu->vm;
	u64 gpa = vcpu->msrs.system_time & ~1ull;

	if (!(vcpu->msrs.system_time & 1))
		return;
	spin_lock(&vm->clock.lock);
	refresh_pair(vm);
	info.tsc_timestamp = vm->clock.tsc + vcpu->tsc_offset;
	info.system_time = vm->clock.boot + vm->clock.offset;
	spin_unlock(&vm->clock.lock);
	tsc_scale(&info.tsc_shift, &info.tsc_to_system_mul);
	if (!check_tsc_unstable())
		info.flags = PVCLOCK_TSC_STABLE_BIT;
	publish(vm, gpa, &info, &info.version, sizeof(info));
}

static void write_wall_clock(struct lucid_vcpu *vcpu)
{
	struct pvclock_wall_clock wall = {};
	struct lucid_vm *vm = vcpu->vm;
	u64 gpa = vcpu->msrs.wall_clock, tsc, start;

	if (!gpa)
		return;
	/* When the guest's clock was 0. */
	start = ktime_get_real_ns() - guest_ns(vm, &tsc);
	wall.sec = div_u64_rem(start, NSEC_PER_SEC, &wall.nsec);
	publish(vm, gpa, &wall, &wall.version, sizeof(wall));
}

/**
 * lucid_clock_serve - LUCID_REQ_CLOCK, LUCID_REQ_WALL_CLOCK
 * @vcpu: the vCPU
 * @wall: the wall clock; else the system time
 *
 * An address where there is no memory is the guest's own mistake: nothing is
 * written.
 * Context: outside of a stay; sleeps.
 */
void lucid_clock_serve(struct lucid_vcpu *vcpu, bool wall)
{
	if (wall)
		write_wall_clock(vcpu);
	else
		write_system_time(vcpu);
}

/**
 * lucid_clock_set_msr - the guest says where its clocks are
 * @vcpu: the vCPU
 * @wall: the wall clock; else the system time
 * @value: the address, bit 0 of the system time's: on
 *
 * Context: any.
 */
void lucid_clock_set_msr(struct lucid_vcpu *vcpu, bool wall, u64 value)
{
	if (wall) {
		vcpu->msrs.wall_clock = value;
		lucid_request(vcpu, LUCID_REQ_WALL_CLOCK);
	} else {
		vcpu->msrs.system_time = value;
		lucid_request(vcpu, LUCID_REQ_CLOCK);
	}
}

void lucid_clock_get(struct lucid_vm *vm, struct kvm_clock_data *d)
{
	u64 tsc;

	memset(d, 0, sizeof(*d));
	d->clock = guest_ns(vm, &tsc);
	if (!check_tsc_unstable()) {
		d->host_tsc = tsc;
		d->realtime = ktime_get_real_ns();
		d->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	}
}

/* Return: 0, or -EINVAL for unknown flags. */
int lucid_clock_set(struct lucid_vm *vm, const struct kvm_clock_data *d)
{
	u64 ns = d->clock, real;
	unsigned int i, n;

	/* Only the host's wall time since GET_CLOCK can be made up for. */
	if (d->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	if (d->flags & KVM_CLOCK_REALTIME) {
		real = ktime_get_real_ns();
		if (real > d->realtime)
			ns += real - d->realtime;
	}
	spin_lock(&vm->clock.lock);
	read_pair(&vm->clock.tsc, &vm->clock.boot);
	vm->clock.offset = ns - vm->clock.boot;
	spin_unlock(&vm->clock.lock);
	n = smp_load_acquire(&vm->nr_vcpus);
	for (i = 0; i < n; i++) {
		lucid_request(vm->vcpus[i], LUCID_REQ_CLOCK);
		lucid_kick(vm->vcpus[i]);
	}
	return 0;
}

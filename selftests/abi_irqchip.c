// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls of the interrupt controllers, as api.rst and KVM have them: in what
 * order they may come, what they refuse and with which errno, what they keep.
 */
#include "irq.h"

static void idle(void)
{
	for (;;)
		GUEST_SYNC(1);
}

FIXTURE(chip) { struct vm *vm; struct vcpu *c; int fd; };
FIXTURE_SETUP(chip)
{
	self->vm = vm_create_irq();
	self->c = vcpu_create_irq(self->vm, 0);
	self->fd = self->vm->fd;
	vcpu_start64(self->c, idle, 0, 0);
}
FIXTURE_TEARDOWN(chip) { }

static void *const nowhere = (void *)8;

/* ---- Creation -------------------------------------------------------------------- */

TEST(created_once_and_before_vcpus)
{
	struct vm *vm = vm_create_bare();
	struct kvm_pit_config pit = { 0 };

	ASSERT_EQ(0, eioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_EQ(-EFAULT, eioctl(vm->fd, KVM_CREATE_PIT2, nowhere));
	ASSERT_EQ(0, eioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_PIT, NULL));
	vcpu_create(vm, 0);
	EXPECT_EQ(-EEXIST, eioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL));

	vm = vm_create_bare();
	vcpu_create(vm, 0);
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL));
	/* and the VM is as it was: interrupts are userspace's */
	EXPECT_EQ(-ENXIO, irq_line(vm, 0, 1));
}

TEST(pit_after_vcpu)
{
	struct vm *vm = vm_create_irq();
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	vcpu_create_irq(vm, 0);
	EXPECT_EQ(0, eioctl(vm->fd, KVM_CREATE_PIT2, &pit));
}

/* Without: -ENXIO, or what is said of an argument before that. */
TEST(nothing_without_an_irqchip)
{
	struct vm *vm = vm_create();
	struct vcpu *c = vcpu_create(vm, 0);
	struct kvm_irq_level l = { .irq = 1, .level = 1 };
	struct kvm_irqchip k = { .chip_id = 0 };
	struct kvm_lapic_state lapic = { 0 };
	struct kvm_pit_state2 pit = { 0 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };
	struct kvm_irq_routing r = { .nr = 0 };

	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_IRQ_LINE, &l));
	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_IRQ_LINE_STATUS, &l));
	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_GET_IRQCHIP, &k));
	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_SET_IRQCHIP, &k));
	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_GET_PIT2, &pit));
	EXPECT_EQ(-ENXIO, eioctl(vm->fd, KVM_SET_PIT2, &pit));
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
	EXPECT_EQ(-EINVAL, eioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_GET_LAPIC, &lapic));
	EXPECT_EQ(-EINVAL, eioctl(c->fd, KVM_SET_LAPIC, &lapic));
	EXPECT_EQ(-EINVAL, vcpu_set_mp_state(c, KVM_MP_STATE_HALTED));
	EXPECT_EQ(-EINVAL, vcpu_set_mp_state(c, KVM_MP_STATE_UNINITIALIZED));
	EXPECT_EQ(-EINVAL, vcpu_set_mp_state(c, KVM_MP_STATE_INIT_RECEIVED));
	EXPECT_EQ(0, vcpu_set_mp_state(c, KVM_MP_STATE_RUNNABLE));
}

TEST_F(chip, pit_ioctls_without_a_pit)
{
	struct kvm_pit_state2 pit = { 0 };
	struct kvm_reinject_control rc = { 0 };

	EXPECT_EQ(-ENXIO, eioctl(self->fd, KVM_GET_PIT2, &pit));
	EXPECT_EQ(-ENXIO, eioctl(self->fd, KVM_SET_PIT2, &pit));
	if (dev_cap(KVM_CAP_REINJECT_CONTROL) > 0)
		EXPECT_EQ(-ENXIO, eioctl(self->fd, KVM_REINJECT_CONTROL, &rc));
}

TEST_F(chip, userspace_interrupts_are_refused)
{
	struct kvm_interrupt i = { 0x40 };

	EXPECT_EQ(-ENXIO, eioctl(self->c->fd, KVM_INTERRUPT, &i));
	i.irq = 256;
	EXPECT_EQ(-EINVAL, eioctl(self->c->fd, KVM_INTERRUPT, &i));
	/* nor is a window ever asked for */
	self->c->run->request_interrupt_window = 1;
	vcpu_set_if(self->c, false);
	ASSERT_SYNC(self->c, 1);
	EXPECT_EQ(0, self->c->run->if_flag);
}

TEST_F(chip, pointers_to_nowhere)
{
	static const unsigned long vm[] = {
		KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP,
		KVM_SET_PIT2, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING, KVM_GET_CLOCK,
		KVM_SET_CLOCK, KVM_GET_PIT2,
	};
	static const unsigned long vcpu[] = { KVM_GET_LAPIC, KVM_SET_LAPIC };
	struct kvm_pit_config pit = { 0 };
	int i;

	ASSERT_EQ(0, eioctl(self->fd, KVM_CREATE_PIT2, &pit));
	for (i = 0; i < ARRAY_SIZE(vm); i++)
		EXPECT_EQ(-EFAULT, eioctl(self->fd, vm[i], nowhere)) TH_LOG("VM ioctl %d", i);
	for (i = 0; i < ARRAY_SIZE(vcpu); i++)
		EXPECT_EQ(-EFAULT, eioctl(self->c->fd, vcpu[i], nowhere)) TH_LOG("vCPU ioctl %d", i);
}

/* ---- The three chips --------------------------------------------------------------- */

TEST_F(chip, irqchip_round_trip)
{
	struct kvm_irqchip k[3], again;
	int i;

	for (i = 0; i < 3; i++) {
		memset(&k[i], 0, sizeof(k[i]));
		k[i].chip_id = i;
		ASSERT_EQ(0, eioctl(self->fd, KVM_GET_IRQCHIP, &k[i]));
	}
	EXPECT_EQ(0xf8, k[0].chip.pic.elcr_mask);
	EXPECT_EQ(0xde, k[1].chip.pic.elcr_mask);
	EXPECT_EQ(IOAPIC_GPA, k[2].chip.ioapic.base_address);
	for (i = 0; i < 24; i++)
		EXPECT_EQ(REDIR_MASKED, k[2].chip.ioapic.redirtbl[i].bits);
	k[0].chip.pic.imr = 0xa5;
	k[0].chip.pic.irq_base = 0x30;
	k[1].chip.pic.imr = 0x5a;
	k[1].chip.pic.elcr = 0x02;
	k[2].chip.ioapic.redirtbl[7].bits = REDIR_MASKED | 0x77;
	k[2].chip.ioapic.id = 5;
	k[2].chip.ioapic.ioregsel = 0x13;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, eioctl(self->fd, KVM_SET_IRQCHIP, &k[i]));
	for (i = 0; i < 3; i++) {
		again = irqchip_get(self->vm, i);
		EXPECT_EQ(0, memcmp(&again.chip, &k[i].chip,
				    i < 2 ? sizeof(k[i].chip.pic) : sizeof(k[i].chip.ioapic)));
	}
	k[0].chip_id = 3;
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_GET_IRQCHIP, &k[0]));
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_IRQCHIP, &k[0]));
	k[0].chip_id = ~0;
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_GET_IRQCHIP, &k[0]));
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_IRQCHIP, &k[0]));
}

/* Whatever is in them: taken or refused, and the guest runs on or stops. */
TEST_F(chip, irqchip_garbage)
{
	struct kvm_irqchip k;
	uint32_t seed = 1, i, b;

	for (i = 0; i < 300; i++) {
		memset(&k, 0, sizeof(k));
		for (b = 0; b < sizeof(k); b++)
			((uint8_t *)&k)[b] = (seed = seed * 1103515245 + 12345) >> 16;
		k.chip_id = i % 3;
		eioctl(self->fd, KVM_SET_IRQCHIP, &k);
		irq_line(self->vm, i % 24, i & 1);
		if (i % 10 == 0)
			vcpu_run(self->c);
	}
}

/* 1: delivered, 0: merged with one that waits, -1: nobody took it */
static int line_status(struct vm *vm, uint32_t gsi, int level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	xioctl(vm->fd, KVM_IRQ_LINE_STATUS, &l);
	return l.status;		/* in the place of .irq */
}

TEST_F(chip, irq_line_status)
{
	struct kvm_irqchip k = irqchip_get(self->vm, KVM_IRQCHIP_IOAPIC);
	struct kvm_lapic_state s;

	if (dev_cap(KVM_CAP_IRQ_INJECT_STATUS) <= 0)
		SKIP(return, "no KVM_CAP_IRQ_INJECT_STATUS");
	xioctl(self->c->fd, KVM_GET_LAPIC, &s);
	*(uint32_t *)(s.regs + APIC_SPIV) = SPIV_ENABLE | 0xff;
	xioctl(self->c->fd, KVM_SET_LAPIC, &s);
	EXPECT_EQ(-1, line_status(self->vm, 20, 1));	/* masked */
	line_status(self->vm, 20, 0);
	k.chip.ioapic.redirtbl[20].bits = 0x41;
	xioctl(self->fd, KVM_SET_IRQCHIP, &k);
	EXPECT_EQ(1, line_status(self->vm, 20, 1));
	EXPECT_EQ(1 << 1, lapic_reg(self->c, APIC_IRR + 0x20));
	EXPECT_EQ(0, line_status(self->vm, 20, 1));	/* is up already */
	line_status(self->vm, 20, 0);
	/* merged in the APIC's IRR, which is not told (but for the RTC, pin 8) */
	EXPECT_EQ(1, line_status(self->vm, 20, 1));
	/* lines without a route */
	EXPECT_EQ(-1, line_status(self->vm, 3000, 1));
	EXPECT_EQ(-1, line_status(self->vm, ~0, 1));
	EXPECT_EQ(0, irq_line(self->vm, ~0, 1));
}

/* ---- LAPIC ------------------------------------------------------------------------------ */

TEST_F(chip, lapic_round_trip)
{
	struct kvm_lapic_state a, b;
	uint32_t *r = (uint32_t *)a.regs;

	ASSERT_EQ(0, eioctl(self->c->fd, KVM_GET_LAPIC, &a));
	EXPECT_EQ(0xff, r[APIC_SPIV / 4]);
	EXPECT_EQ(LVT_EXTINT, r[APIC_LVT0 / 4]);
	r[APIC_SPIV / 4] = SPIV_ENABLE | 0xe0;
	r[APIC_TPR / 4] = 0x30;
	r[APIC_LVT1 / 4] = LVT_NMI;
	r[APIC_LDR / 4] = 0x08000000;
	r[APIC_TDCR / 4] = TDCR_16;
	r[(APIC_IRR + 0x20) / 4] = 1 << 5;
	ASSERT_EQ(0, eioctl(self->c->fd, KVM_SET_LAPIC, &a));
	ASSERT_EQ(0, eioctl(self->c->fd, KVM_GET_LAPIC, &b));
	r[APIC_PPR / 4] = 0x30;			/* it follows */
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	EXPECT_EQ(3, vcpu_sregs(self->c).cr8);
}

TEST_F(chip, lapic_garbage)
{
	struct kvm_lapic_state s;
	uint32_t seed = 7, i, b;

	for (i = 0; i < 200; i++) {
		for (b = 0; b < sizeof(s); b++)
			s.regs[b] = (seed = seed * 1103515245 + 12345) >> 16;
		/* masked: a random vector would end the guest, which is allowed */
		if (i & 1)
			*(uint32_t *)(s.regs + APIC_LVTT) |= LVT_MASKED;
		eioctl(self->c->fd, KVM_SET_LAPIC, &s);
		eioctl(self->c->fd, KVM_GET_LAPIC, &s);
		if (i % 5 == 0) {
			guest_timeout = 1;
			vcpu_next(self->c);
		}
	}
}

/* ---- PIT ----------------------------------------------------------------------------------- */

TEST_F(chip, pit_round_trip)
{
	struct kvm_pit_config cfg = { 0 };
	struct kvm_pit_state2 p, q;

	ASSERT_EQ(0, eioctl(self->fd, KVM_CREATE_PIT2, &cfg));
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_PIT2, &p));
	EXPECT_EQ(0, p.flags & KVM_PIT_FLAGS_HPET_LEGACY);
	p.channels[0].count = 0x10000;
	p.channels[0].mode = 2;
	p.channels[0].rw_mode = 3;
	p.channels[0].gate = 1;
	p.channels[2].count = 1234;
	p.channels[2].mode = 0;
	p.channels[2].gate = 1;
	ASSERT_EQ(0, eioctl(self->fd, KVM_SET_PIT2, &p));
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_PIT2, &q));
	EXPECT_EQ(0x10000, q.channels[0].count);
	EXPECT_EQ(2, q.channels[0].mode);
	EXPECT_EQ(3, q.channels[0].rw_mode);
	EXPECT_EQ(1234, q.channels[2].count);
	EXPECT_EQ(1, q.channels[2].gate);
}

TEST_F(chip, pit_garbage)
{
	struct kvm_pit_config cfg = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_pit_state2 p;
	uint32_t seed = 3, i, b;

	ASSERT_EQ(0, eioctl(self->fd, KVM_CREATE_PIT2, &cfg));
	for (i = 0; i < 300; i++) {
		for (b = 0; b < sizeof(p); b++)
			((uint8_t *)&p)[b] = (seed = seed * 1103515245 + 12345) >> 16;
		if (i & 1)
			p.channels[0].count = i & 3;
		eioctl(self->fd, KVM_SET_PIT2, &p);
		ASSERT_EQ(0, eioctl(self->fd, KVM_GET_PIT2, &p));
		ASSERT_EQ(0, vcpu_run(self->c));
	}
}

/* ---- MSIs and routes --------------------------------------------------------------------------- */

TEST_F(chip, signal_msi)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x45 };

	/* the APIC is off: nobody took it */
	EXPECT_GE(0, eioctl(self->fd, KVM_SIGNAL_MSI, &m));
	m.flags = 0x80;
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SIGNAL_MSI, &m));
}

struct routes {
	struct kvm_irq_routing h;
	struct kvm_irq_routing_entry e[4];
};

static struct kvm_irq_routing_entry to_chip(int gsi, int chip, int pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static struct kvm_irq_routing_entry to_msi(int gsi, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = data },
	};
}

TEST_F(chip, bad_routes_are_refused)
{
	struct routes r;
	int i;
	struct kvm_irq_routing_entry bad[] = {
		to_chip(0, KVM_IRQCHIP_PIC_MASTER, 8), to_chip(0, KVM_IRQCHIP_PIC_SLAVE, 8),
		to_chip(0, KVM_IRQCHIP_IOAPIC, 24), to_chip(0, 3, 0), to_chip(0, ~0, 0),
		to_chip(0, KVM_IRQCHIP_IOAPIC, ~0), to_chip(4096, KVM_IRQCHIP_IOAPIC, 0),
		{ .gsi = 0, .type = 0 }, { .gsi = 0, .type = 99 },
		{ .gsi = 0, .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1 },
		{ .gsi = 0, .type = KVM_IRQ_ROUTING_MSI, .flags = 2 },
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		r = (struct routes){ .h.nr = 1, .e = { bad[i] } };
		EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r)) TH_LOG("%d", i);
	}
	r = (struct routes){ .h = { .nr = 1, .flags = 1 }, .e = { to_msi(1, 0x40) } };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	r.h = (struct kvm_irq_routing){ .nr = 4097 };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	/* one GSI: each chip once; an MSI alone */
	r = (struct routes){ .h.nr = 2, .e = { to_msi(1, 0x40), to_msi(1, 0x41) } };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	r = (struct routes){ .h.nr = 2, .e = { to_msi(1, 0x40), to_chip(1, 2, 1) } };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	r = (struct routes){ .h.nr = 2, .e = { to_chip(1, 2, 1), to_chip(1, 2, 3) } };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	r = (struct routes){ .h.nr = 2, .e = { to_chip(1, 0, 1), to_chip(1, 2, 3) } };
	EXPECT_EQ(0, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
}

static volatile uint32_t came;

static void on_irq(struct guest_regs *r)
{
	came = r->vector;
	apic_eoi();
}

static void routed(void)
{
	int i;

	for (i = 0x40; i < 0x50; i++)
		guest_handler[i] = on_irq;
	apic_enable();
	ioapic_set_redir(23, 0x4f);
	for (;;) {
		came = 0;
		GUEST_SYNC(1);
		irq_window();
		GUEST_SYNC(came);
	}
}

#define ASSERT_CAME(vec, doing) do {					\
	ASSERT_SYNC(self->c, 1);					\
	doing;								\
	ASSERT_SYNC(self->c, vec);					\
} while (0)

TEST_F(chip, routes_take_effect)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x44 };
	struct routes r = {
		.h.nr = 3,
		.e = { to_msi(100, 0x41), to_msi(4095, 0x42), to_chip(5, KVM_IRQCHIP_IOAPIC, 23) },
	};

	vcpu_start64(self->c, routed, 0, 0);
	ASSERT_CAME(0x4f, irq_pulse(self->vm, 23));
	ASSERT_CAME(0, irq_pulse(self->vm, 100));
	ASSERT_EQ(0, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	ASSERT_CAME(0x41, irq_pulse(self->vm, 100));
	ASSERT_CAME(0x42, irq_pulse(self->vm, 4095));
	ASSERT_CAME(0x4f, irq_pulse(self->vm, 5));
	ASSERT_CAME(0, irq_pulse(self->vm, 23));	/* the default is gone */
	/* an MSI is sent when the line rises, not when it falls */
	ASSERT_CAME(0, irq_line(self->vm, 100, 0));
	/* a refused table leaves the old one */
	r.e[1].type = 77;
	ASSERT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	ASSERT_CAME(0x42, irq_pulse(self->vm, 4095));
	ASSERT_CAME(0x44, ASSERT_EQ(1, eioctl(self->fd, KVM_SIGNAL_MSI, &m)));
	/* to nobody, or masked by a destination that is not there */
	m.address_lo = 0xfee05000;
	ASSERT_CAME(0, ASSERT_GE(0, eioctl(self->fd, KVM_SIGNAL_MSI, &m)));
	/* none at all */
	r.h.nr = 0;
	ASSERT_EQ(0, eioctl(self->fd, KVM_SET_GSI_ROUTING, &r));
	ASSERT_CAME(0, irq_pulse(self->vm, 100));
}

/* ---- Clock, TSC, boot CPU -------------------------------------------------------------------------- */

TEST_F(chip, clock)
{
	struct kvm_clock_data a = { 0 }, b = { 0 };

	if (dev_cap(KVM_CAP_ADJUST_CLOCK) <= 0)
		SKIP(return, "no KVM_CAP_ADJUST_CLOCK");
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_CLOCK, &a));
	usleep(10000);
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_CLOCK, &b));
	EXPECT_LE(a.clock + 5000000, b.clock);
	EXPECT_EQ(0, b.flags & ~dev_cap(KVM_CAP_ADJUST_CLOCK));
	/* what was got may be set */
	b.clock += 1000000000000ull;
	ASSERT_EQ(0, eioctl(self->fd, KVM_SET_CLOCK, &b));
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_CLOCK, &a));
	EXPECT_LE(b.clock, a.clock);
	b = (struct kvm_clock_data){ .clock = 1000, .flags = 1 << 20 };
	EXPECT_EQ(-EINVAL, eioctl(self->fd, KVM_SET_CLOCK, &b));
	ASSERT_EQ(0, eioctl(self->fd, KVM_GET_CLOCK, &b));
	EXPECT_LE(a.clock, b.clock);
}

TEST_F(chip, tsc_khz)
{
	int khz;

	if (dev_cap(KVM_CAP_GET_TSC_KHZ) <= 0)
		SKIP(return, "no KVM_CAP_GET_TSC_KHZ");
	khz = eioctl(self->c->fd, KVM_GET_TSC_KHZ, NULL);
	ASSERT_LT(1000, khz);
	/* the host's own frequency is always possible, and 0 means it */
	EXPECT_EQ(0, eioctl(self->c->fd, KVM_SET_TSC_KHZ, (void *)(long)khz));
	EXPECT_EQ(khz, eioctl(self->c->fd, KVM_GET_TSC_KHZ, NULL));
	EXPECT_EQ(0, eioctl(self->c->fd, KVM_SET_TSC_KHZ, NULL));
	EXPECT_EQ(khz, eioctl(self->c->fd, KVM_GET_TSC_KHZ, NULL));
	if (dev_cap(KVM_CAP_TSC_CONTROL) <= 0) {
		/*
		 * Slower than the host cannot be done without scaling. (KVM says
		 * so, and GET_TSC_KHZ tells the refused value.)
		 */
		EXPECT_EQ(-EINVAL, eioctl(self->c->fd, KVM_SET_TSC_KHZ, (void *)(long)(khz / 2)));
	}
}

TEST(boot_cpu_id)
{
	struct vm *vm = vm_create_irq();
	struct vcpu *a, *b;

	ASSERT_EQ(0, eioctl(vm->fd, KVM_SET_BOOT_CPU_ID, (void *)1));
	a = vcpu_create_ap(vm, 0);
	EXPECT_EQ(-EBUSY, eioctl(vm->fd, KVM_SET_BOOT_CPU_ID, (void *)0));
	b = vcpu_create_ap(vm, 1);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, vcpu_mp_state(a));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(b));
	EXPECT_EQ(0, vcpu_sregs(a).apic_base & APIC_BASE_BSP);
	EXPECT_NE(0, vcpu_sregs(b).apic_base & APIC_BASE_BSP);
}

/* ---- MP_STATE, APIC_BASE ------------------------------------------------------------------------------ */

TEST_F(chip, mp_states)
{
	static const int good[] = {
		KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_HALTED,
		KVM_MP_STATE_AP_RESET_HOLD, KVM_MP_STATE_RUNNABLE,
	};
	static const int bad[] = {
		KVM_MP_STATE_STOPPED, KVM_MP_STATE_CHECK_STOP, KVM_MP_STATE_OPERATING,
		KVM_MP_STATE_LOAD, 10, 1000, -1,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, vcpu_set_mp_state(self->c, good[i]));
		EXPECT_EQ(good[i], vcpu_mp_state(self->c)) TH_LOG("%d", good[i]);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, vcpu_set_mp_state(self->c, bad[i])) TH_LOG("%d", bad[i]);
		EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->c));
	}
	/* SIPI_RECEIVED is INIT_RECEIVED and a SIPI, which is taken at once */
	EXPECT_EQ(0, vcpu_set_mp_state(self->c, KVM_MP_STATE_SIPI_RECEIVED));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, vcpu_mp_state(self->c));
}

/* Userspace may make any legal mode of any other; illegal ones are refused. */
TEST_F(chip, apic_base_by_sregs_and_msr)
{
	const uint64_t x = APIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE;
	const uint64_t ok[] = {
		x | APIC_BASE_X2, x, x & ~APIC_BASE_ENABLE, x | APIC_BASE_X2,
		x & ~APIC_BASE_ENABLE, x,
	};
	const uint64_t bad[] = {
		(x | APIC_BASE_X2) & ~APIC_BASE_ENABLE, x | 1, x | BIT(9), x | BIT(62),
	};
	struct kvm_sregs s = vcpu_sregs(self->c);
	uint64_t v;
	int i;

	ASSERT_EQ(x, s.apic_base);
	for (i = 0; i < ARRAY_SIZE(ok); i++) {
		s.apic_base = ok[i];
		EXPECT_EQ(0, eioctl(self->c->fd, KVM_SET_SREGS, &s)) TH_LOG("%d", i);
		EXPECT_EQ(ok[i], vcpu_sregs(self->c).apic_base);
		ASSERT_EQ(1, vcpu_get_msr(self->c, MSR_APIC_BASE, &v));
		EXPECT_EQ(ok[i], v);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		s.apic_base = bad[i];
		EXPECT_EQ(-EINVAL, eioctl(self->c->fd, KVM_SET_SREGS, &s)) TH_LOG("%d", i);
		EXPECT_EQ(0, vcpu_set_msr(self->c, MSR_APIC_BASE, bad[i]));
		EXPECT_EQ(x, vcpu_sregs(self->c).apic_base);
	}
	/* x2APIC's registers as MSRs, also for userspace */
	EXPECT_EQ(0, vcpu_get_msr(self->c, 0x808, &v));
	EXPECT_EQ(1, vcpu_set_msr(self->c, MSR_APIC_BASE, x | APIC_BASE_X2));
	EXPECT_EQ(1, vcpu_set_msr(self->c, 0x808, 0x40));
	EXPECT_EQ(1, vcpu_get_msr(self->c, 0x808, &v));
	EXPECT_EQ(0x40, v);
	EXPECT_EQ(4, vcpu_sregs(self->c).cr8);
}

/* A vCPU's number is its APIC id; up to 254 are xAPIC ids. */
TEST(ids_of_vcpus)
{
	struct vm *vm = vm_create_irq();
	int id;

	for (id = 0; id < 8; id += 3) {
		struct vcpu *c = vcpu_create_ap(vm, id);

		EXPECT_EQ((uint32_t)id << 24, lapic_reg(c, APIC_ID));
		EXPECT_EQ(1, vcpu_set_msr(c, MSR_APIC_BASE,
					  APIC_GPA | (id ? 0 : APIC_BASE_BSP) |
					  APIC_BASE_ENABLE | APIC_BASE_X2));
		/* the old format of GET_LAPIC: still in the upper byte */
		EXPECT_EQ((uint32_t)id << 24, lapic_reg(c, APIC_ID));
		EXPECT_EQ((uint32_t)(id >> 4 << 16 | 1 << (id & 15)), lapic_reg(c, APIC_LDR));
	}
}

IRQ_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* See guest.h. The host's side of a test guest, and the guest's trap handler. */
#define GUEST_LIB
#include "guest.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <stdarg.h>
#include <cpuid.h>

const char *const guest_mode_name[GUEST_MODES] = {
	"real16", "prot16", "prot32", "paged32-4k", "paged32-4m",
	"pae-4k", "pae-2m", "long64-4k", "long64-2m", "compat32",
};

uint64_t guest_error;
bool guest_loses_shadow;
guest_handler_t guest_handler[256];

extern const char __executable_start[], _end[], guest_return[];
extern const uint64_t __start_guest_ex[][2], __stop_guest_ex[][2];

/* ---- Guest code -------------------------------------------------------- */

void guest_done(void);
void guest_trap(struct guest_regs *r);

void guest_done(void)
{
	for (;;)
		GUEST_DONE();
}

void guest_trap(struct guest_regs *r)
{
	const uint64_t (*e)[2];
	volatile struct guest_event ev;

	for (e = __start_guest_ex; r->vector < 32 && e < __stop_guest_ex; e++) {
		if ((*e)[0] == r->rip) {
			r->r15 = r->vector;
			r->r14 = r->error;
			r->rip = (*e)[1];
			return;
		}
	}
	if (guest_handler[r->vector]) {
		/* between STI and HLT: the HLT would sleep on what came just now */
		if (guest_loses_shadow && *(uint16_t *)(r->rip - 1) == 0xf4fb)
			r->rip++;
		guest_handler[r->vector](r);
		return;
	}
	ev.kind = G_TRAP;
	ev.a = r->vector;
	ev.b = r->error;
	ev.c = r->rip;
	ev.d = read_cr2();
	outl(PORT_EVENT, (uint32_t)(uintptr_t)&ev);
}

/* ---- The device -------------------------------------------------------- */

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "# selftests/lib: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

int __xioctl(int fd, unsigned long req, unsigned long arg, const char *name,
	     const char *file, int line)
{
	int r = ioctl(fd, req, arg);

	if (r < 0)
		die("%s:%d: %s: %s", file, line, name, strerror(errno));
	return r;
}

int eioctl(int fd, unsigned long req, void *arg)
{
	int r = ioctl(fd, req, arg);

	return r < 0 ? -errno : r;
}

const char *dev_path(void)
{
	const char *p = getenv("LUCID_DEV");

	return p && *p ? p : "/dev/lucid";
}

int dev_open(void)
{
	int fd = open(dev_path(), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", dev_path(), strerror(errno));
	return fd;
}

int dev_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = dev_open();
	return fd;
}

bool dev_is_kvm(void)
{
	return !strcmp(dev_path(), "/dev/kvm") && !access("/sys/module/kvm", F_OK);
}

int dev_cap(int cap)
{
	return eioctl(dev_fd(), KVM_CHECK_EXTENSION, (void *)(long)cap);
}

struct kvm_cpuid2 *dev_cpuid(void)
{
	int max = 256;
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + max * sizeof(c->entries[0]));

	c->nent = max;
	xioctl(dev_fd(), KVM_GET_SUPPORTED_CPUID, c);
	return c;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t sub)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == sub))
			return e;
	}
	return NULL;
}

bool host_is_amd(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
	return r[2] == signature_AMD_ecx;
}

bool host_is_tcg(void)
{
	uint32_t r[4];

	cpuid(0x40000000, 0, r);
	return !memcmp(r + 1, "TCGTCGTCGTCG", 12);
}

/* ---- Forced emulation --------------------------------------------------- */

#define SWITCH	"/sys/module/lucid/parameters/test_emulate"

static bool set_switch(const char *value)
{
	int fd = open(SWITCH, O_WRONLY);
	bool good = fd >= 0 && write(fd, value, 1) == 1;

	if (fd >= 0)
		close(fd);
	return good;
}

const char *emulation_on(void)
{
	if (dev_is_kvm())
		return "KVM cannot be made to emulate everything";
	return set_switch("1") ? NULL : "cannot set " SWITCH;
}

void emulation_off(void)
{
	set_switch("0");
}

/* ---- CPUs --------------------------------------------------------------- */

static cpu_set_t ours;	/* before anyone was pinned */

static void __attribute__((constructor)) find_cpus(void)
{
	if (sched_getaffinity(0, sizeof(ours), &ours))
		die("sched_getaffinity: %s", strerror(errno));
}

int cpu_count(void)
{
	return CPU_COUNT(&ours);
}

int cpu_id(int n)
{
	int cpu = 0;

	while (cpu < CPU_SETSIZE - 1 && (!CPU_ISSET(cpu, &ours) || n-- > 0))
		cpu++;
	return cpu;
}

int pin_thread(pthread_t thread, int n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu_id(n), &set);
	return pthread_setaffinity_np(thread, sizeof(set), &set);
}

void pin(int n)
{
	pin_thread(pthread_self(), n);
}

/* ---- Tables ------------------------------------------------------------ */

static void set64(struct vm *vm, uint64_t gpa, uint64_t val)
{
	memcpy(vm->mem + gpa, &val, sizeof(val));
}

static void set32(struct vm *vm, uint64_t gpa, uint32_t val)
{
	memcpy(vm->mem + gpa, &val, sizeof(val));
}

static void make_paging(struct vm *vm)
{
	const uint64_t f = PTE_P | PTE_W | PTE_U;
	uint64_t i;

	/* Long mode: PML4, PDPT, PD; the PDs serve PAE as well. */
	set64(vm, ROOT_64_2M, 0x21000 | f);
	set64(vm, 0x21000, 0x22000 | f);
	set64(vm, ROOT_64_4K, 0x25000 | f);
	set64(vm, 0x25000, 0x23000 | f);
	set64(vm, ROOT_PAE_2M, 0x22000 | PTE_P);
	set64(vm, ROOT_PAE_4K, 0x23000 | PTE_P);
	for (i = 0; i < 512; i++) {
		uint64_t big = i << 21 | PTE_PS | f;

		set64(vm, 0x22000 + i * 8, big);
		set64(vm, 0x23000 + i * 8,
		      i < GUEST_MEM >> 21 ? (PT_64_4K + (i << 12)) | f : big);
	}
	for (i = 0; i < GUEST_MEM >> 12; i++)
		set64(vm, PT_64_4K + i * 8, i << 12 | f);

	/* 32-bit: 4M pages for the first gigabyte; 4K pages by five tables */
	for (i = 0; i < 256; i++)
		set32(vm, ROOT_32_4M + i * 4, i << 22 | PTE_PS | f);
	for (i = 0; i < GUEST_MEM >> 22; i++)
		set32(vm, ROOT_32_4K + i * 4, (0x33000 + (i << 12)) | f);
	set32(vm, ROOT_32_4K + (GUEST_MMIO >> 22) * 4, 0x37000 | f);
	for (i = 0; i < GUEST_MEM >> 12; i++)
		set32(vm, 0x33000 + i * 4, i << 12 | f);
	for (i = 0; i < 1024; i++)
		set32(vm, 0x37000 + i * 4, (GUEST_MMIO + (i << 12)) | f);
}

static void make_gate(struct vm *vm, int vec)
{
	uint64_t h = (uintptr_t)guest_vectors64 + vec * 16;
	uint64_t idt = GUEST_IDT64 + vec * 16;
	uint64_t dpl = vec == BP || vec == OF || vec >= 32 ? 0x6000 : 0;

	set64(vm, idt, (h & 0xffff) | SEL_CODE64 << 16 |
	      (0x8e00 | dpl) << 32 | (h >> 16 & 0xffff) << 48);
	set64(vm, idt + 8, h >> 32);

	h = (uintptr_t)guest_vectors32 + vec * 16;
	set64(vm, GUEST_IDT32 + vec * 8, (h & 0xffff) | SEL_CODE32 << 16 |
	      (0x8e00 | dpl) << 32 | (h >> 16 & 0xffff) << 48);
}

static uint64_t stack_top(int id)
{
	return GUEST_STACKS + (id + 1) * 0x10000;
}

/* A busy TSS of 0x68 bytes, below 16M */
#define TSS_DESC(base) (0x00008b0000000067ull | (base) % 0x1000000ull << 16)

static void make_tables(struct vm *vm)
{
	static const uint64_t gdt[] = {
		[SEL_CODE32 >> 3]	= 0x00cf9b000000ffff,
		[SEL_DATA >> 3]		= 0x00cf93000000ffff,
		[SEL_CODE64 >> 3]	= 0x00af9b000000ffff,
		[SEL_CODE16 >> 3]	= 0x00009b000000ffff,
		[SEL_DATA16 >> 3]	= 0x000093000000ffff,
		[SEL_TSS >> 3]		= TSS_DESC(GUEST_TSS64),
		[SEL_UCODE32 >> 3]	= 0x00cffb000000ffff,
		[SEL_UDATA >> 3]	= 0x00cff3000000ffff,
		[SEL_UCODE64 >> 3]	= 0x00affb000000ffff,
		[SEL_TSS32 >> 3]	= TSS_DESC(GUEST_TSS32),
	};
	int i;

	memcpy(vm->mem + GUEST_GDT, gdt, sizeof(gdt));
	for (i = 0; i < 256; i++)
		make_gate(vm, i);
	for (i = 0; i < 16; i++) {
		/* RSP0 and IST1: the upper half of the vCPU's 64K is the normal one */
		set64(vm, GUEST_TSS64 + i * 0x100 + 4, stack_top(i) - 0x8000);
		set64(vm, GUEST_TSS64 + i * 0x100 + 0x24, stack_top(i) - 0xc000);
		set32(vm, GUEST_TSS64 + i * 0x100 + 0x64, 0x68 << 16);	/* no I/O bitmap */
	}
	set32(vm, GUEST_TSS32 + 4, stack_top(0) - 0x8000);
	set32(vm, GUEST_TSS32 + 8, SEL_DATA);
	set32(vm, GUEST_TSS32 + 0x64, 0x68 << 16);
	make_paging(vm);
}

/* ---- VMs and vCPUs ----------------------------------------------------- */

struct vm *vm_create_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->fd = xioctl(dev_fd(), KVM_CREATE_VM, 0);
	/* Intel wants three pages of its own somewhere */
	xioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	return vm;
}

void *map_2m(size_t size)
{
	size_t align = 2 << 20;
	uint8_t *p = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap of guest memory: %s", strerror(errno));
	return (void *)(((uintptr_t)p + align - 1) & ~(align - 1));
}

struct vm *vm_create(void)
{
	struct vm *vm = vm_create_bare();
	int r;

	vm->mem = map_2m(GUEST_MEM);
	if ((uintptr_t)_end > GUEST_DATA || (uintptr_t)__executable_start < GUEST_IMAGE)
		die("this program is at %p to %p, outside GUEST_IMAGE",
		    __executable_start, _end);
	memcpy(gpa_hva(vm, (uintptr_t)__executable_start), __executable_start,
	       _end - __executable_start);
	make_tables(vm);
	r = vm_slot(vm, 0, 0, 0, GUEST_MEM, vm->mem);
	if (r)
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(-r));
	return vm;
}

void vm_destroy(struct vm *vm)
{
	close(vm->fd);
	if (vm->mem)
		munmap(vm->mem, GUEST_MEM);
	free(vm);
}

int vm_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
	    uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa,
		.memory_size = size, .userspace_addr = (uintptr_t)hva,
	};

	return eioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static size_t run_size(void)
{
	return xioctl(dev_fd(), KVM_GET_VCPU_MMAP_SIZE, 0);
}

struct vcpu *vcpu_create_bare(struct vm *vm, int id)
{
	struct vcpu *c = calloc(1, sizeof(*c));

	c->vm = vm;
	c->id = id;
	c->fd = xioctl(vm->fd, KVM_CREATE_VCPU, id);
	c->run = mmap(NULL, run_size(), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED)
		die("mmap of kvm_run: %s", strerror(errno));
	return c;
}

struct vcpu *vcpu_create(struct vm *vm, int id)
{
	struct vcpu *c = vcpu_create_bare(vm, id);
	struct kvm_cpuid2 *cpuid = dev_cpuid();

	xioctl(c->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return c;
}

void vcpu_destroy(struct vcpu *c)
{
	munmap(c->run, run_size());
	close(c->fd);
	free(c);
}

static struct kvm_segment segment(uint16_t sel, int type, int dpl, int l, int db, int g)
{
	return (struct kvm_segment) {
		.selector = sel, .limit = g ? 0xffffffff : 0xffff, .type = type,
		.present = 1, .dpl = dpl, .l = l, .db = db, .g = g, .s = 1,
	};
}

void vcpu_start(struct vcpu *c, enum guest_mode mode, uint64_t rip)
{
	static const struct {
		uint32_t cr3;
		uint64_t cr0, cr4, efer;
		uint16_t cs;
	} m[GUEST_MODES] = {
		[REAL16]	= { .cr0 = CR0_ET },
		[PROT16]	= { .cr0 = CR0_PE, .cs = SEL_CODE16 },
		[PROT32]	= { .cr0 = CR0_PE, .cs = SEL_CODE32 },
		[PAGED32_4K]	= { ROOT_32_4K, CR0_PE | CR0_PG, 0, 0, SEL_CODE32 },
		[PAGED32_4M]	= { ROOT_32_4M, CR0_PE | CR0_PG, CR4_PSE, 0, SEL_CODE32 },
		[PAE_4K]	= { ROOT_PAE_4K, CR0_PE | CR0_PG, CR4_PAE, 0, SEL_CODE32 },
		[PAE_2M]	= { ROOT_PAE_2M, CR0_PE | CR0_PG, CR4_PAE, 0, SEL_CODE32 },
		[LONG64_4K]	= { ROOT_64_4K, CR0_PE | CR0_PG, CR4_PAE,
				    EFER_LME | EFER_LMA, SEL_CODE64 },
		[LONG64_2M]	= { ROOT_64_2M, CR0_PE | CR0_PG, CR4_PAE,
				    EFER_LME | EFER_LMA, SEL_CODE64 },
		[COMPAT32]	= { ROOT_64_2M, CR0_PE | CR0_PG, CR4_PAE,
				    EFER_LME | EFER_LMA, SEL_CODE32 },
	};
	bool lm = m[mode].efer, real = mode == REAL16;
	bool small = real || mode == PROT16;
	struct kvm_sregs s = vcpu_sregs(c);
	struct kvm_regs r = { .rip = rip, .rflags = RFLAGS_1 };
	struct kvm_segment data;

	s.cr0 = m[mode].cr0 | CR0_ET | CR0_NE | (real ? 0 : CR0_MP);
	s.cr3 = m[mode].cr3;
	s.cr4 = m[mode].cr4 | (real ? 0 : CR4_OSFXSR | CR4_OSXMMEXCPT);
	s.cr8 = 0;
	s.efer = m[mode].efer;

	data = small ? segment(real ? 0 : SEL_DATA16, 3, 0, 0, 0, 0)
		     : segment(SEL_DATA, 3, 0, 0, 1, 1);
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs = segment(m[mode].cs, 11, 0, m[mode].cs == SEL_CODE64,
		       m[mode].cs == SEL_CODE32, !small);
	s.ldt = (struct kvm_segment){ .type = 2, .present = 1, .limit = 0xffff };
	s.tr = (struct kvm_segment){
		.selector = lm ? SEL_TSS : real ? 0 : SEL_TSS32,
		.base = lm ? GUEST_TSS64 + c->id * 0x100 : real ? 0 : GUEST_TSS32,
		.limit = 0x67, .type = 11, .present = 1,
	};
	s.gdt = (struct kvm_dtable){ .base = real ? 0 : GUEST_GDT,
				     .limit = real ? 0xffff : 0x7f };
	if (real)
		s.idt = (struct kvm_dtable){ .base = 0, .limit = 0x3ff };
	else if (lm)
		s.idt = (struct kvm_dtable){ .base = GUEST_IDT64, .limit = 0xfff };
	else
		s.idt = (struct kvm_dtable){ .base = GUEST_IDT32, .limit = 0x7ff };
	vcpu_set_sregs(c, s);

	r.rsp = small ? 0x7ff0 : stack_top(c->id) - 16;
	if (m[mode].cs == SEL_CODE64) {
		r.rsp -= 8;	/* as a call leaves it */
		set64(c->vm, r.rsp, (uintptr_t)guest_return);
	}
	vcpu_set_regs(c, r);
}

void vcpu_start64(struct vcpu *c, void *fn, uint64_t arg0, uint64_t arg1)
{
	struct kvm_regs r;

	vcpu_start(c, LONG64_4K, (uintptr_t)fn);
	r = vcpu_regs(c);
	r.rdi = arg0;
	r.rsi = arg1;
	vcpu_set_regs(c, r);
}

struct vcpu *guest64(void *fn)
{
	struct vcpu *c = vcpu_create(vm_create(), 0);

	vcpu_start64(c, fn, 0, 0);
	return c;
}

uint64_t guest_blob(struct vm *vm, const void *code, const void *end)
{
	memcpy(gpa_hva(vm, GUEST_BLOB), code, (const char *)end - (const char *)code);
	return GUEST_BLOB;
}

void zap(struct vm *vm, uint64_t gpa)
{
	void *p = gpa_hva(vm, gpa & -4096ul);

	if (mprotect(p, 4096, PROT_NONE) || mprotect(p, 4096, PROT_READ | PROT_WRITE))
		die("mprotect of guest memory: %s", strerror(errno));
}

struct vcpu *guest_asm(enum guest_mode mode, const void *code, const void *end)
{
	struct vcpu *c = vcpu_create(vm_create(), 0);
	bool small = mode == REAL16 || mode == PROT16;

	vcpu_start(c, mode, small ? guest_blob(c->vm, code, end) : (uintptr_t)code);
	return c;
}

/* ---- State ------------------------------------------------------------- */

struct lucid_stats vcpu_stats(struct vcpu *c)
{
	struct lucid_stats stats = {};

	eioctl(c->fd, LUCID_GET_STATS, &stats);		/* -E2BIG: no room for exits[] */
	return stats;
}

struct kvm_regs vcpu_regs(struct vcpu *c)
{
	struct kvm_regs r;

	xioctl(c->fd, KVM_GET_REGS, &r);
	return r;
}

void vcpu_set_if(struct vcpu *c, bool on)
{
	struct kvm_regs r = vcpu_regs(c);

	r.rflags = on ? r.rflags | RFLAGS_IF : r.rflags & ~RFLAGS_IF;
	vcpu_set_regs(c, r);
}

void vcpu_set_regs(struct vcpu *c, struct kvm_regs r)
{
	xioctl(c->fd, KVM_SET_REGS, &r);
}

struct kvm_sregs vcpu_sregs(struct vcpu *c)
{
	struct kvm_sregs s;

	xioctl(c->fd, KVM_GET_SREGS, &s);
	return s;
}

void vcpu_set_sregs(struct vcpu *c, struct kvm_sregs s)
{
	xioctl(c->fd, KVM_SET_SREGS, &s);
}

struct kvm_vcpu_events vcpu_events(struct vcpu *c)
{
	struct kvm_vcpu_events e;

	xioctl(c->fd, KVM_GET_VCPU_EVENTS, &e);
	return e;
}

void vcpu_set_events(struct vcpu *c, struct kvm_vcpu_events e)
{
	xioctl(c->fd, KVM_SET_VCPU_EVENTS, &e);
}

struct one_msr {
	struct kvm_msrs h;
	struct kvm_msr_entry e;
};

int vcpu_get_msr(struct vcpu *c, uint32_t msr, uint64_t *val)
{
	struct one_msr m = { .h.nmsrs = 1, .e.index = msr };
	int r = eioctl(c->fd, KVM_GET_MSRS, &m);

	*val = m.e.data;
	return r;
}

int vcpu_set_msr(struct vcpu *c, uint32_t msr, uint64_t val)
{
	struct one_msr m = { .h.nmsrs = 1, .e = { .index = msr, .data = val } };

	return eioctl(c->fd, KVM_SET_MSRS, &m);
}

/* ---- Running ----------------------------------------------------------- */

int vcpu_run(struct vcpu *c)
{
	return eioctl(c->fd, KVM_RUN, NULL);
}

static struct kvm_run *volatile watched;
static volatile bool timed_out;

static void on_alarm(int sig)
{
	(void)sig;
	timed_out = true;
	if (watched)
		watched->immediate_exit = 1;
}

/* The guest spoke through a port: which event is it? */
static bool fetch_event(struct vcpu *c)
{
	struct kvm_run *run = c->run;
	uint32_t v = 0;

	if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
	    run->io.count != 1 || run->io.port < PORT_EVENT || run->io.port > PORT_TRAP)
		return false;
	memcpy(&v, io_data(c), run->io.size);
	memset(&c->event, 0, sizeof(c->event));
	switch (run->io.port) {
	case PORT_EVENT:
		if (v > GUEST_MEM - sizeof(c->event))
			die("guest event at %#x is outside its memory", v);
		memcpy(&c->event, gpa_hva(c->vm, v), sizeof(c->event));
		break;
	case PORT_SYNC:
		c->event.kind = G_SYNC;
		c->event.a = v;
		break;
	case PORT_DONE:
		c->event.kind = G_DONE;
		c->event.a = v;
		break;
	case PORT_TRAP:
		c->event.kind = G_TRAP;
		c->event.a = v & 0xff;
		c->event.b = v >> 8;
	}
	return true;
}

void vcpu_fetch(struct vcpu *c, int r)
{
	if (r)
		c->event = (struct guest_event){ .kind = G_ERROR, .a = -r };
	else if (!fetch_event(c))
		c->event = (struct guest_event){ .kind = G_EXIT };
}

int guest_timeout = 20;

int vcpu_next(struct vcpu *c)
{
	struct itimerval tv = { .it_value.tv_sec = guest_timeout }, off = { 0 };
	int r;

	watched = c->run;
	timed_out = false;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &tv, NULL);
	r = vcpu_run(c);
	setitimer(ITIMER_REAL, &off, NULL);
	watched = NULL;

	if (timed_out) {
		c->run->immediate_exit = 0;
		c->event = (struct guest_event){ .kind = G_TIMEOUT };
	} else {
		vcpu_fetch(c, r);
	}
	return c->event.kind;
}

void vcpu_dump(struct vcpu *c)
{
	static const char *const kinds[] = {
		"?", "exit", "sync", "done", "assertion", "exception", "error", "timeout",
	};
	struct guest_event *e = &c->event;
	struct kvm_run *run = c->run;
	struct kvm_regs r;
	struct kvm_sregs s;

	fprintf(stderr, "# guest: %s", kinds[e->kind < 8 ? e->kind : 0]);
	switch (e->kind) {
	case G_SYNC:
	case G_DONE:
		fprintf(stderr, " %#llx", (unsigned long long)e->a);
		break;
	case G_FAIL:
		fprintf(stderr, " %s:%u: %s: %#llx, %#llx", e->file, e->line, e->text,
			(unsigned long long)e->a, (unsigned long long)e->b);
		break;
	case G_TRAP:
		fprintf(stderr, " vector %llu error %#llx rip %#llx cr2 %#llx",
			(unsigned long long)e->a, (unsigned long long)e->b,
			(unsigned long long)e->c, (unsigned long long)e->d);
		break;
	case G_ERROR:
		fprintf(stderr, " of KVM_RUN: %s", strerror(e->a));
		break;
	case G_EXIT:
		fprintf(stderr, " reason %u", run->exit_reason);
		if (run->exit_reason == KVM_EXIT_IO)
			fprintf(stderr, " %s port %#x size %u count %u",
				run->io.direction ? "out" : "in", run->io.port,
				run->io.size, run->io.count);
		else if (run->exit_reason == KVM_EXIT_MMIO)
			fprintf(stderr, " mmio %s %#llx len %u",
				run->mmio.is_write ? "write" : "read",
				(unsigned long long)run->mmio.phys_addr, run->mmio.len);
		else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			fprintf(stderr, " suberror %u", run->internal.suberror);
		else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
			fprintf(stderr, " hardware reason %#llx", (unsigned long long)
				run->fail_entry.hardware_entry_failure_reason);
	}
	if (eioctl(c->fd, KVM_GET_REGS, &r) == 0 && eioctl(c->fd, KVM_GET_SREGS, &s) == 0)
		fprintf(stderr, "; rip %#llx rsp %#llx rax %#llx flags %#llx cs %#x cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx cr2 %#llx",
			r.rip, r.rsp, r.rax, r.rflags, s.cs.selector, s.cr0, s.cr3,
			s.cr4, s.efer, s.cr2);
	fprintf(stderr, "\n");
}

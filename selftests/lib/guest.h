/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest in a few lines: what every selftest here is written with.
 *
 *	static void guest(void)
 *	{
 *		GUEST_ASSERT_EQ(inb(0x60), 0x5a);
 *	}
 *
 *	TEST(example)
 *	{
 *		struct vcpu *c = guest64(guest);
 *
 *		ASSERT_EXIT(c, KVM_EXIT_IO);
 *		*io_data(c) = 0x5a;
 *		ASSERT_DONE(c);
 *	}
 *
 * The device is $LUCID_DEV (default /dev/lucid); with /dev/kvm the same test
 * asks KVM, which is the oracle.
 *
 * The test is a static, non-PIE program. vm_create() copies its whole image
 * into the guest at the same addresses, so 64-bit guest code is an ordinary C
 * function of the test file, and 32-bit code an asm block that runs in place;
 * the globals are the guest's own copy, which the host reaches by GUEST(vm, x).
 * Set a global before vm_create() and the guest has it too. Only 16-bit code
 * must be copied low: guest_blob().
 * Guest code must not call libc, and does not know of thread-local variables.
 *
 * Memory is one slot (slot 0), guest-physical 0 to GUEST_MEM; every paging
 * mode maps it one to one, writable, executable, user-accessible, and the rest
 * of the first gigabyte with it (addresses past GUEST_MEM are MMIO).
 * Set-up that fails prints one line and aborts: the test fails.
 */
#ifndef SELFTESTS_LIB_GUEST_H
#define SELFTESTS_LIB_GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>
#include <linux/lucid.h>
#ifndef GUEST_LIB		/* the harness defines objects: once per program */
#include "kselftest_harness.h"
#endif
#include "x86.h"

/* Guest-physical map */
#define GUEST_BLOB	0x8000		/* guest_blob() puts 16-bit code here */
#define GUEST_GDT	0x10000
#define GUEST_IDT64	0x11000
#define GUEST_IDT32	0x12000
#define GUEST_TSS64	0x13000		/* 0x100 bytes for each vCPU */
#define GUEST_TSS32	0x14000
#define GUEST_TABLES	0x20000		/* page tables, up to 0x40000 */
#define GUEST_FREE	0x40000		/* for tests, up to 0xa0000 */
#define GUEST_STACKS	0x100000	/* 64K for each vCPU, 16 of them */
#define GUEST_FREE_2M	0x200000	/* for tests, one 2M page */
#define GUEST_IMAGE	0x400000	/* this program */
#define GUEST_DATA	0xc00000	/* for tests, 4M */
#define GUEST_MEM	0x1000000
#define GUEST_MMIO	0x10000000	/* an address that no slot covers */

/* Page-table roots (what CR3 holds) */
#define ROOT_64_2M	0x20000		/* long mode, 2M pages */
#define ROOT_64_4K	0x24000		/* long mode, 4K pages below GUEST_MEM */
#define ROOT_PAE_2M	0x30000
#define ROOT_PAE_4K	0x30020
#define ROOT_32_4M	0x31000
#define ROOT_32_4K	0x32000		/* below GUEST_MEM, and 4M at GUEST_MMIO */
#define PT_64_4K	0x28000		/* 8 tables: entry of gpa is PT + gpa / 4096 * 8 */

/* GDT */
#define SEL_CODE32	0x08
#define SEL_DATA	0x10
#define SEL_CODE64	0x18
#define SEL_CODE16	0x20
#define SEL_DATA16	0x28
#define SEL_TSS		0x30		/* and 0x38 */
#define SEL_UCODE32	0x43
#define SEL_UDATA	0x4b
#define SEL_UCODE64	0x53
#define SEL_TSS32	0x58
#define SEL_FREE	0x60		/* for tests, up to 0x80 */

enum guest_mode {
	REAL16,			/* CS base 0; stack grows down from 0x8000 */
	PROT16, PROT32,		/* protected, no paging */
	PAGED32_4K, PAGED32_4M,	/* 32-bit page tables */
	PAE_4K, PAE_2M,
	LONG64_4K, LONG64_2M,
	COMPAT32,		/* 32-bit code segment in long mode, 2M pages */
	GUEST_MODES,
};

extern const char *const guest_mode_name[GUEST_MODES];

struct vm {
	int fd;
	uint8_t *mem;		/* GUEST_MEM bytes, 2M-aligned, slot 0 */
};

struct guest_event {
	uint32_t kind;		/* enum guest_kind */
	uint32_t line;
	uint64_t a, b, c, d;
	const char *file, *text;
};

struct vcpu {
	struct vm *vm;
	int fd;
	int id;
	struct kvm_run *run;
	struct guest_event event;	/* set by vcpu_next() */
};

/* ---- The device ------------------------------------------------------- */

const char *dev_path(void);
int dev_open(void);			/* a new fd */
int dev_fd(void);			/* one that stays open */
bool dev_is_kvm(void);			/* really KVM, not Lucid under its name */
int dev_cap(int cap);			/* KVM_CHECK_EXTENSION */
struct kvm_cpuid2 *dev_cpuid(void);	/* KVM_GET_SUPPORTED_CPUID, malloced */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t leaf,
				    uint32_t sub);
bool host_is_amd(void);
/*
 * The machine is QEMU's emulation, whose SVM has faults of its own (LAB.md).
 * A test that stumbles over one says SKIP(..., EMULATOR "what") there.
 */
bool host_is_tcg(void);
#define EMULATOR	"XFAIL, QEMU's own fault: "

/*
 * May LUCID_SET_EMULATE be used from now on? NULL, or why not. Off again when
 * the test is done.
 */
const char *emulation_on(void);
void emulation_off(void);

/*
 * The CPUs that are ours, counted from 0; the lab keeps some of the machine's
 * from us (tools/lab/qemu-svm.sh).
 */
int cpu_count(void);
int cpu_id(int n);			/* the kernel's number of the n-th */
void pin(int n);			/* this thread, to the n-th */
int pin_thread(pthread_t thread, int n);	/* 0 or errno */

/* ---- VMs and vCPUs ---------------------------------------------------- */

struct vm *vm_create(void);		/* slot 0, tables, this program */
struct vm *vm_create_bare(void);	/* no memory */
void vm_destroy(struct vm *vm);		/* after its vcpu_destroy()s */
/* 0 or -errno */
int vm_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
	    uint64_t size, void *hva);

/* Anonymous memory that begins at a 2M boundary of the host's */
void *map_2m(size_t size);

struct vcpu *vcpu_create(struct vm *vm, int id);	/* with dev_cpuid() */
struct vcpu *vcpu_create_bare(struct vm *vm, int id);	/* no CPUID set */
void vcpu_destroy(struct vcpu *c);

/* Make @c start at @rip in @mode when it next runs; all other state is fresh. */
void vcpu_start(struct vcpu *c, enum guest_mode mode, uint64_t rip);
/* Same for a C function with up to two arguments; returning from it is DONE. */
void vcpu_start64(struct vcpu *c, void *fn, uint64_t arg0, uint64_t arg1);

/* VM, vCPU 0 and start, in one */
struct vcpu *guest64(void *fn);
struct vcpu *guest_asm(enum guest_mode mode, const void *code, const void *end);

/*
 * Drop the host's nested mapping of the page at @gpa (its contents stay), so
 * that the guest's next access to it, of whatever kind, faults in the host.
 */
void zap(struct vm *vm, uint64_t gpa);

/* Copy 16-bit code (asm between two labels) to GUEST_BLOB; returns its gpa. */
uint64_t guest_blob(struct vm *vm, const void *code, const void *end);

/* The guest's copy of this program's object at the same address. */
#define GUEST(vm, obj)	(*(__typeof__(obj) *)gpa_hva(vm, (uintptr_t)&(obj)))
static inline void *gpa_hva(struct vm *vm, uint64_t gpa)
{
	return vm->mem + gpa;
}

/* ioctl that must succeed; returns its value */
#define xioctl(fd, req, arg) \
	__xioctl(fd, req, (unsigned long)(arg), #req, __FILE__, __LINE__)
int __xioctl(int fd, unsigned long req, unsigned long arg, const char *name,
	     const char *file, int line);
/* ioctl as 0.. or -errno */
int eioctl(int fd, unsigned long req, void *arg);

struct lucid_stats vcpu_stats(struct vcpu *c);	/* without exits[]; zeros on KVM */
struct kvm_regs vcpu_regs(struct vcpu *c);
struct kvm_sregs vcpu_sregs(struct vcpu *c);
struct kvm_vcpu_events vcpu_events(struct vcpu *c);
void vcpu_set_regs(struct vcpu *c, struct kvm_regs r);
void vcpu_set_if(struct vcpu *c, bool on);	/* RFLAGS.IF */
void vcpu_set_sregs(struct vcpu *c, struct kvm_sregs s);
void vcpu_set_events(struct vcpu *c, struct kvm_vcpu_events e);
/* number of MSRs read/written: 1 or 0; or -errno */
int vcpu_get_msr(struct vcpu *c, uint32_t msr, uint64_t *val);
int vcpu_set_msr(struct vcpu *c, uint32_t msr, uint64_t val);

/* ---- Running ---------------------------------------------------------- */

enum guest_kind {
	G_EXIT = 1,		/* an exit that is not the guest talking to us:
				 * see c->run; nothing is completed yet */
	G_SYNC, G_DONE,		/* event.a is the value */
	G_FAIL,			/* a GUEST_ASSERT failed; vcpu_dump() says which */
	G_TRAP,			/* an exception nobody caught */
	G_ERROR,		/* KVM_RUN failed; event.a is the errno */
	G_TIMEOUT,		/* it ran guest_timeout seconds */
};

extern int guest_timeout;	/* seconds for one vcpu_next(), 20 */

/* KVM_RUN once: 0 or -errno; c->run says the rest. */
int vcpu_run(struct vcpu *c);
/* Run until something happens; returns the kind and fills c->event. */
int vcpu_next(struct vcpu *c);
/* What vcpu_run(), which returned @r, means, into c->event */
void vcpu_fetch(struct vcpu *c, int r);
/* Says on stderr where the guest is; used when an expectation fails. */
void vcpu_dump(struct vcpu *c);

static inline void *io_data(struct vcpu *c)
{
	return (uint8_t *)c->run + c->run->io.data_offset;
}

/* In a TEST: the next thing that happens must be ... */
#define ASSERT_KIND(c, want)						\
	do {								\
		int __got = vcpu_next(c);				\
									\
		if (__got != (want))					\
			vcpu_dump(c);					\
		ASSERT_EQ((want), __got);				\
	} while (0)
#define ASSERT_DONE(c)		ASSERT_KIND(c, G_DONE)
#define ASSERT_SYNC(c, value)						\
	do {								\
		ASSERT_KIND(c, G_SYNC);					\
		ASSERT_EQ((uint64_t)(value), (c)->event.a);		\
	} while (0)
#define ASSERT_EXIT(c, reason)						\
	do {								\
		ASSERT_KIND(c, G_EXIT);					\
		if ((c)->run->exit_reason != (reason))			\
			vcpu_dump(c);					\
		ASSERT_EQ((uint32_t)(reason), (c)->run->exit_reason);	\
	} while (0)

/* ---- What guest code says to the host --------------------------------- */

/*
 * Ports: 0x10 takes (32 bit) the address of a struct guest_event. The other
 * three are for assembly: the value in eax, ax or al.
 */
#define PORT_EVENT	0x10
#define PORT_SYNC	0x11
#define PORT_DONE	0x12
#define PORT_TRAP	0x13		/* value: vector | error << 8 */

static inline void guest_tell(uint32_t kind, uint64_t a, uint64_t b,
			      const char *file, uint32_t line, const char *text)
{
	volatile struct guest_event e = {
		.kind = kind, .line = line, .a = a, .b = b,
		.file = file, .text = text,
	};

	outl(PORT_EVENT, (uint32_t)(uintptr_t)&e);
}

#define GUEST_SYNC(v)	guest_tell(G_SYNC, (uint64_t)(v), 0, __FILE__, __LINE__, "")
#define GUEST_DONE()	guest_tell(G_DONE, 0, 0, __FILE__, __LINE__, "")
#define __GUEST_CMP(x, op, y) do {					\
	uint64_t __x = (uint64_t)(x), __y = (uint64_t)(y);		\
									\
	if (!(__x op __y))						\
		guest_tell(G_FAIL, __x, __y, __FILE__, __LINE__,	\
			   #x " " #op " " #y);				\
} while (0)
#define GUEST_ASSERT_EQ(x, y)	__GUEST_CMP(x, ==, y)
#define GUEST_ASSERT_NE(x, y)	__GUEST_CMP(x, !=, y)
#define GUEST_ASSERT_LT(x, y)	__GUEST_CMP(x, <, y)
#define GUEST_ASSERT_LE(x, y)	__GUEST_CMP(x, <=, y)
#define GUEST_ASSERT(x)		__GUEST_CMP(!!(x), ==, 1)

/*
 * 64-bit exceptions and interrupts: first TRY()'s table is asked, then this
 * table (guest code sets it; the handler may change the registers), and what
 * nobody wants is G_TRAP. 32-bit code: see guest32_resume in vectors.S.
 */
typedef void (*guest_handler_t)(struct guest_regs *r);
extern guest_handler_t guest_handler[256];
/*
 * QEMU's VMRUN loses the shadow of STI if a host interrupt comes in it, and
 * then "sti; hlt" sleeps for ever. Set, an interrupt found there skips the HLT.
 */
extern bool guest_loses_shadow;

/* Entry points of vectors.S */
extern const char guest_vectors64[], guest_vectors32[];
/*
 * 32-bit exceptions: if guest32_resume is not 0, execution goes on there once,
 * with the vector in %edi, error code in %esi and the old stack pointer; else
 * G_TRAP.
 */
extern uint32_t guest32_resume;

/* The place in the long-mode 4K tables of the entry that maps @gpa. */
#define GUEST_PTE(gpa)	((volatile uint64_t *)(PT_64_4K + (uint64_t)(gpa) / 4096 * 8))

#endif

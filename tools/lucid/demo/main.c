// SPDX-License-Identifier: GPL-2.0
/*
 * The demo guest in long mode: it looks around, takes a page fault and some
 * interrupts, checks each of them, and tells on the serial port.
 *
 * Exit status: 0 if all is well, else the number of the step that failed.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot.h"

#define STEP_START	10	/* and 11, 12: start.S */
#define STEP_LONG	12
#define STEP_CPUID	13
#define STEP_MEMORY	14
#define STEP_FAULT	15
#define STEP_INTERRUPT	16
#define STEP_UNEXPECTED	17

#define COM1		0x3f8
#define COM1_IER	(COM1 + 1)
#define COM1_IIR	(COM1 + 2)
#define COM1_LSR	(COM1 + 5)
#define LSR_THRE	0x20
#define IER_THRE	0x02
#define IIR_ID		0x0f
#define IIR_THRE	0x02

#define PIC1		0x20
#define PIC2		0xa0
#define PIC_EOI		0x20
#define IRQ_BASE	0x20
#define IRQ_TIMER	0
#define IRQ_SERIAL	4
#define PIT_CHANNEL0	0x40
#define PIT_CONTROL	0x43
#define PIT_HZ		1193182
#define TICKS_HZ	100
#define TICKS		5

#define VECTOR_PF	14
#define PF_PRESENT	1
#define PF_WRITE	2

#define PDPT		((uint64_t *)0x21000)	/* start.S made it */
#define NEW_PD		((uint64_t *)0x23000)
#define NEW_PT		((uint64_t *)0x24000)
#define NEW_PAGE	0x25000ul
#define HOLE		0x40000000ul		/* 1 GiB: nothing is there */
#define MAPPED		0x40000000ul		/* start.S maps this much */
#define PTE_PW		3

struct frame {
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct gate {
	uint16_t offset_0, selector;
	uint8_t ist, type;
	uint16_t offset_16;
	uint32_t offset_32, reserved;
} __attribute__((packed));

extern const uint8_t trap_entries[][16];

int demo_main(const struct boot_block *block);
void trap(struct frame *f);

static struct gate idt[48];
static volatile unsigned int faults, timer_ticks, serial_irqs;
static volatile uint64_t fault_address, fault_error;

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t read_cr(int cr)
{
	uint64_t value;

	switch (cr) {
	case 0:
		asm volatile("mov %%cr0, %0" : "=r"(value));
		break;
	case 2:
		asm volatile("mov %%cr2, %0" : "=r"(value));
		break;
	default:
		asm volatile("mov %%cr3, %0" : "=r"(value));
		break;
	}
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

struct leaf {
	uint32_t eax, ebx, ecx, edx;
};

static struct leaf cpuid(uint32_t function)
{
	struct leaf l;

	asm volatile("cpuid" : "=a"(l.eax), "=b"(l.ebx), "=c"(l.ecx),
		     "=d"(l.edx) : "a"(function), "c"(0));
	return l;
}

/* gcc makes calls of these out of plain C */
void *memcpy(void *to, const void *from, unsigned long n);
void *memset(void *to, int c, unsigned long n);

void *memcpy(void *to, const void *from, unsigned long n)
{
	void *at = to;

	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int c, unsigned long n)
{
	void *at = to;

	asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(c) : "memory");
	return to;
}

static void put(char c)
{
	while (!(inb(COM1_LSR) & LSR_THRE))
		;
	outb(COM1, c);
}

static void put_number(uint64_t n, unsigned int base)
{
	char digits[20];
	int i = 0;

	do {
		digits[i++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (i)
		put(digits[--i]);
}

/* %s, %u (unsigned), %x (with 0x); numbers are 64 bits wide */
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (*fmt == '\n') {
			put('\r');
			put('\n');
		} else if (*fmt != '%') {
			put(*fmt);
		} else if (*++fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(*s);
		} else if (*fmt == 'u') {
			put_number(va_arg(ap, uint64_t), 10);
		} else if (*fmt == 'x') {
			put('0');
			put('x');
			put_number(va_arg(ap, uint64_t), 16);
		}
	}
	va_end(ap);
}

static void __attribute__((noreturn)) leave(uint8_t status)
{
	outb(PORT_DEBUG_EXIT, status);
	for (;;)
		asm volatile("cli; hlt");
}

static void expect(bool good, uint8_t step, const char *what)
{
	if (good)
		return;
	say("\n  FAILED (status %u): %s\n", (uint64_t)step, what);
	leave(step);
}

/* Give the page at HOLE its tables and memory, as a kernel would. */
static void map_hole(void)
{
	NEW_PT[0] = NEW_PAGE | PTE_PW;
	NEW_PD[0] = (uintptr_t)NEW_PT | PTE_PW;
	PDPT[1] = (uintptr_t)NEW_PD | PTE_PW;
}

void trap(struct frame *f)
{
	unsigned int irq = f->vector - IRQ_BASE;

	if (f->vector == VECTOR_PF && !faults++) {
		fault_address = read_cr(2);
		fault_error = f->error;
		map_hole();
		return;
	}
	if (f->vector < IRQ_BASE) {
		say("\n  FAILED: exception %u, error %x, at %x, cr2 %x\n",
		    f->vector, f->error, f->rip, read_cr(2));
		leave(STEP_UNEXPECTED);
	}
	if (irq == IRQ_TIMER)
		timer_ticks++;
	if (irq == IRQ_SERIAL && (inb(COM1_IIR) & IIR_ID) == IIR_THRE)
		serial_irqs++;
	outb(PIC1, PIC_EOI);
}

static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	for (int i = 0; i < 48; i++) {
		uint64_t at = (uintptr_t)trap_entries[i];

		idt[i] = (struct gate){
			.offset_0 = at,
			.offset_16 = at >> 16,
			.offset_32 = at >> 32,
			.selector = BOOT_SEL_CODE64,
			.type = 0x8e,	/* present, interrupt gate */
		};
	}
	asm volatile("lidt %0" : : "m"(pointer));
}

static void long_mode(void)
{
	uint64_t efer = rdmsr(0xc0000080);

	expect(efer & 0x400, STEP_LONG, "EFER.LMA is not set");
	expect(read_cr(0) >> 31 & 1, STEP_LONG, "CR0.PG is not set");
	say("  long mode       paging is on: cr0 %x, cr3 %x, efer %x\n",
	    read_cr(0), read_cr(3), efer);
}

static void processor(void)
{
	struct leaf l = cpuid(0), one = cpuid(1);
	uint32_t vendor[4] = { l.ebx, l.edx, l.ecx, 0 };
	uint32_t family = one.eax >> 8 & 15, model = one.eax >> 4 & 15;
	uint32_t text[13] = { 0 };
	const char *name = (const char *)text;

	expect(l.eax >= 1 && l.ebx, STEP_CPUID, "CPUID has no vendor");
	if (family == 6 || family == 15)
		model |= one.eax >> 12 & 0xf0;
	if (family == 15)
		family += one.eax >> 20 & 0xff;
	say("  CPUID           %s, family %x, model %x\n",
	    (const char *)vendor, (uint64_t)family, (uint64_t)model);
	if (cpuid(0x80000000).eax >= 0x80000004) {
		for (unsigned int i = 0; i < 3; i++) {
			l = cpuid(0x80000002 + i);
			memcpy(text + 4 * i, &l, sizeof(l));
		}
		while (*name == ' ')
			name++;
		if (*name)
			say("                  \"%s\"\n", name);
	}
	expect(one.ecx >> 31, STEP_CPUID, "CPUID shows no hypervisor");
	l = cpuid(0x40000000);
	memcpy(text, &l.ebx, 12);
	text[3] = 0;
	say("  hypervisor      says that it is \"%s\"\n", (const char *)text);
}

/* Each MiB gets a word of its own; only then are all of them read. */
static uint64_t probe(uint64_t start, uint64_t end)
{
	uint64_t good = 0;

	for (uint64_t a = start; a < end; a += 1 << 20)
		*(volatile uint64_t *)a = ~a;
	for (uint64_t a = start; a < end; a += 1 << 20)
		good += *(volatile uint64_t *)a == ~a;
	return good;
}

static void memory(const struct boot_block *block)
{
	const struct boot_range *r = (const void *)(uintptr_t)block->map;
	const char *cmdline = (const char *)(uintptr_t)block->cmdline;
	uint64_t start = 1 << 20, end, mib;

	expect(block->magic == BOOT_MAGIC, STEP_MEMORY,
	       "the boot block is damaged");
	say("  memory          %u MiB:", block->mem_size >> 20);
	for (unsigned int i = 0; i < block->map_entries; i++)
		if (r[i].type == BOOT_RAM)
			say(" %x-%x", r[i].start, r[i].start + r[i].size - 1);
	end = block->mem_size < MAPPED ? block->mem_size : MAPPED;
	mib = (end - start) >> 20;
	expect(probe(start, end) == mib, STEP_MEMORY,
	       "memory does not keep what is written");
	say("\n                  %u MiB above the first hold what I write\n",
	    mib);
	if (*cmdline)
		say("  command line    \"%s\"\n", cmdline);
}

static void page_fault(void)
{
	volatile uint64_t *hole = (volatile uint64_t *)HOLE;

	*hole = 0x1badc0ffee;
	expect(faults == 1, STEP_FAULT, "there was no page fault");
	expect(fault_address == HOLE, STEP_FAULT, "CR2 is wrong");
	expect((fault_error & (PF_PRESENT | PF_WRITE)) == PF_WRITE, STEP_FAULT,
	       "the page fault's error code is wrong");
	expect(*hole == 0x1badc0ffee &&
	       *(volatile uint64_t *)NEW_PAGE == 0x1badc0ffee, STEP_FAULT,
	       "the new page does not hold what was written");
	say("  page fault      writing to %x, error code %x: gave it a page, went on\n",
	    fault_address, fault_error);
}

static void set_up_pics(uint8_t mask)
{
	static const struct { uint8_t port, value; } setup[] = {
		{ PIC1, 0x11 }, { PIC1 + 1, IRQ_BASE },
		{ PIC1 + 1, 4 }, { PIC1 + 1, 1 },
		{ PIC2, 0x11 }, { PIC2 + 1, IRQ_BASE + 8 },
		{ PIC2 + 1, 2 }, { PIC2 + 1, 1 },
		{ PIC2 + 1, 0xff },
	};

	for (unsigned int i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
		outb(setup[i].port, setup[i].value);
	outb(PIC1 + 1, mask);
}

static void interrupts(void)
{
	set_up_pics(0xff & ~(1 << IRQ_TIMER | 1 << IRQ_SERIAL));
	outb(PIT_CONTROL, 0x34);	/* channel 0, both bytes, mode 2 */
	outb(PIT_CHANNEL0, (PIT_HZ / TICKS_HZ) & 0xff);
	outb(PIT_CHANNEL0, (PIT_HZ / TICKS_HZ) >> 8);

	/* asleep in HLT: with STI before it, no interrupt slips in between */
	while (timer_ticks < TICKS)
		asm volatile("sti; hlt; cli");
	outb(PIC1 + 1, 0xff & ~(1 << IRQ_SERIAL));

	/* and one in the middle of running code */
	asm volatile("sti");
	outb(COM1_IER, IER_THRE);
	for (unsigned int i = 0; i < 1000000 && !serial_irqs; i++)
		asm volatile("pause");
	asm volatile("cli");
	outb(COM1_IER, 0);
	outb(PIC1 + 1, 0xff);
	expect(serial_irqs, STEP_INTERRUPT, "the serial port did not interrupt");
	say("  interrupts      %u ticks of the timer woke me, the serial port broke in\n",
	    (uint64_t)timer_ticks);
}

int demo_main(const struct boot_block *block)
{
	load_idt();
	long_mode();
	processor();
	memory(block);
	page_fault();
	interrupts();
	say("\nAll is well. Good night.\n");
	return 0;
}

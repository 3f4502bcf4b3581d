// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI's tables, by the chapters "ACPI Software Programming Model" and "ACPI
 * Machine Language (AML) Specification" of the ACPI specification, 6.4.
 *
 * Revision 2 forms (64-bit addresses) with an RSDT beside the XSDT for those
 * who read that only.  The DSDT is assembled here, byte by byte: what it says
 * is written beside each line as an ASL compiler would want it.
 */
#include <string.h>

#include "acpi.h"
#include "lucid.h"
#include "pm.h"
#include "rtc.h"
#include "serial.h"

#define LAPIC_ADDR	0xfee00000u
#define IOAPIC_ADDR	0xfec00000u

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 36, "an ACPI header has 36 bytes");

struct address {		/* "Generic Address Structure" */
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));
#define IO_PORT(port, size) \
	{ .space = 1, .bits = 8 * (size), .access = (size) > 2 ? 3 : (size), \
	  .address = (port) }

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr;
	uint32_t gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved2;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt;
	struct address x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 244, "FADT of revision 3 to 5");

#define FADT_LEGACY_DEVICES	(1u << 0)	/* a serial port, say */
#define FADT_NO_VGA		(1u << 2)
#define FADT_WBINVD		(1u << 0)
#define FADT_PROC_C1		(1u << 2)
#define FADT_NO_POWER_BUTTON	(1u << 4)	/* as fixed hardware */
#define FADT_NO_SLEEP_BUTTON	(1u << 5)
#define FADT_RESET		(1u << 10)

struct facs {
	char signature[4];
	uint32_t length, hardware, waking, lock, flags;
	uint64_t x_waking;
	uint8_t version, reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "a FACS has 64 bytes");

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t x_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "an RSDP has 36 bytes");

/* Where the next bytes go. */
struct out {
	const struct vm *vm;
	uint8_t *base;		/* of the whole area */
	size_t len;
};

static uint8_t *put(struct out *o, const void *bytes, size_t len)
{
	uint8_t *to = o->base + o->len;

	if (o->len + len > ACPI_TABLES_END - ACPI_TABLES)
		die("ACPI tables: too many vCPUs for them");
	memcpy(to, bytes, len);
	o->len += len;
	return to;
}

#define PUT(o, ...) \
	put(o, (const uint8_t[]){ __VA_ARGS__ }, \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static uint8_t checksum(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	uint8_t sum = 0;

	while (len--)
		sum += *b++;
	return -sum;
}

/* Begin a table: returns its header, whose length end() fills in. */
static struct header *begin(struct out *o, const char *signature,
			    uint8_t revision)
{
	struct header h = {
		.revision = revision,
		.oem = { 'L', 'U', 'C', 'I', 'D', ' ' },
		.oem_table = { 'L', 'U', 'C', 'I', 'D', ' ', 'V', 'M' },
		.oem_revision = 1,
		.creator = { 'L', 'U', 'C', 'D' },
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, 4);
	o->len = (o->len + 15) & ~15ul;
	return (struct header *)put(o, &h, sizeof(h));
}

/* End it: returns its guest-physical address. */
static uint32_t end(struct out *o, struct header *h)
{
	h->length = o->base + o->len - (uint8_t *)h;
	h->checksum = 0;
	h->checksum = checksum(h, h->length);
	return ACPI_TABLES + ((uint8_t *)h - o->base);
}

/*
 * AML.  A package's length is written in two bytes ("Package Length
 * Encoding"): it is not known before its end.
 */
static size_t aml_open(struct out *o)
{
	PUT(o, 0, 0);
	return o->len - 2;
}

static void aml_close(struct out *o, size_t start)
{
	size_t len = o->len - start;	/* its own two bytes count */

	o->base[start] = 0x40 | (len & 15);
	o->base[start + 1] = len >> 4;
}

static void aml_name(struct out *o, const char *name)
{
	PUT(o, 0x08);			/* NameOp */
	put(o, name, 4);
}

/* "PNP0501" as the four bytes of EISAID() */
static void aml_eisaid(struct out *o, const char *id)
{
	uint32_t product = 0;
	uint16_t vendor = (id[0] - 0x40) << 10 | (id[1] - 0x40) << 5 |
			  (id[2] - 0x40);

	for (int i = 3; i < 7; i++)
		product = product << 4 |
			  (id[i] > '9' ? id[i] - 'A' + 10 : id[i] - '0');
	PUT(o, 0x0c, vendor >> 8, vendor, product >> 8, product);
}

/* Device (NAME) { _HID, _CRS with ports and, if not 0, an interrupt } */
static void aml_device(struct out *o, const char *name, const char *hid,
		       uint16_t port, uint8_t ports, uint8_t irq)
{
	size_t device, buffer;
	uint8_t *size;

	PUT(o, 0x5b, 0x82);		/* DeviceOp */
	device = aml_open(o);
	put(o, name, 4);
	aml_name(o, "_HID");
	aml_eisaid(o, hid);
	aml_name(o, "_UID");
	PUT(o, 0x01);			/* One */
	aml_name(o, "_CRS");
	PUT(o, 0x11);			/* BufferOp */
	buffer = aml_open(o);
	PUT(o, 0x0a, 0);		/* its size, a byte */
	size = o->base + o->len - 1;
	/* IO (Decode16, port, port, 1, ports) */
	PUT(o, 0x47, 0x01, port, port >> 8, port, port >> 8, 1, ports);
	if (irq)			/* IRQNoFlags () {irq} */
		PUT(o, 0x22, 1u << irq, (1u << irq) >> 8);
	PUT(o, 0x79, 0x00);		/* EndTag */
	*size = o->base + o->len - 1 - size;
	aml_close(o, buffer);
	aml_close(o, device);
}

static uint32_t write_dsdt(struct out *o)
{
	struct header *h = begin(o, "DSDT", 2);
	size_t scope, package;

	/* Name (_S5, Package () {5, 0, 0, 0}): SLP_TYP to switch off */
	aml_name(o, "_S5_");
	PUT(o, 0x12);
	package = aml_open(o);
	PUT(o, 4, 0x0a, PM_SLEEP_OFF, 0x00, 0x00, 0x00);
	aml_close(o, package);

	PUT(o, 0x10);			/* Scope (\_SB) */
	scope = aml_open(o);
	PUT(o, '\\', '_', 'S', 'B', '_');
	aml_device(o, "COM1", "PNP0501", SERIAL_BASE, 8, SERIAL_IRQ);
	aml_device(o, "RTC_", "PNP0B00", RTC_INDEX, 2, 0);
	aml_device(o, "PM__", "PNP0C02", PM_BASE, PM_SIZE, 0);
	aml_close(o, scope);
	return end(o, h);
}

static uint32_t write_facs(struct out *o)
{
	struct facs facs = {
		.signature = { 'F', 'A', 'C', 'S' },
		.length = sizeof(facs),
		.version = 2,
	};

	o->len = (o->len + 63) & ~63ul;	/* where it must lie */
	return ACPI_TABLES + (put(o, &facs, sizeof(facs)) - o->base);
}

static uint32_t write_fadt(struct out *o, uint32_t dsdt, uint32_t facs)
{
	struct fadt f = {
		.facs = facs,
		.dsdt = dsdt,
		.sci = PM_IRQ,
		.pm1a_evt = PM1_EVT,
		.pm1a_cnt = PM1_CNT,
		.pm_tmr = PM_TIMER,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = 0xffff,	/* none */
		.c3_latency = 0xffff,
		.century = RTC_CENTURY,
		.boot_arch = FADT_LEGACY_DEVICES | FADT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_POWER_BUTTON |
			 FADT_NO_SLEEP_BUTTON | FADT_RESET,
		.reset = IO_PORT(PM_RESET, 1),
		.reset_value = PM_RESET_VALUE,
		.x_dsdt = dsdt,
		.x_pm1a_evt = IO_PORT(PM1_EVT, 4),
		.x_pm1a_cnt = IO_PORT(PM1_CNT, 2),
		.x_pm_tmr = IO_PORT(PM_TIMER, 4),
	};
	struct header *h = begin(o, "FACP", 4);

	put(o, (uint8_t *)&f + sizeof(f.h), sizeof(f) - sizeof(f.h));
	return end(o, h);
}

/* One "interrupt source override": ISA @irq is input @gsi, with @flags. */
static void madt_override(struct out *o, uint8_t irq, uint8_t gsi,
			  uint8_t flags)
{
	PUT(o, 2, 10, 0, irq, gsi, 0, 0, 0, flags, 0);
}

static uint32_t write_madt(struct out *o, unsigned int cpus)
{
	struct header *h = begin(o, "APIC", 3);

	/* the local APICs' address; PCAT_COMPAT: there are 8259s, too */
	PUT(o, LAPIC_ADDR & 0xff, LAPIC_ADDR >> 8 & 0xff,
	    LAPIC_ADDR >> 16 & 0xff, LAPIC_ADDR >> 24, 1, 0, 0, 0);
	for (unsigned int i = 0; i < cpus; i++)
		PUT(o, 0, 8, i, i, 1, 0, 0, 0);		/* enabled */
	PUT(o, 1, 12, cpus, 0, IOAPIC_ADDR & 0xff, IOAPIC_ADDR >> 8 & 0xff,
	    IOAPIC_ADDR >> 16 & 0xff, IOAPIC_ADDR >> 24, 0, 0, 0, 0);
	if (o->vm->irq0_on_pin2)
		madt_override(o, 0, 2, 0);
	madt_override(o, PM_IRQ, PM_IRQ, 0x0d);	/* active high, level */
	/* NMI on LINT1 of all CPUs */
	PUT(o, 4, 6, 0xff, 0, 0, 1);
	return end(o, h);
}

void acpi_write(struct vm *vm, unsigned int cpus)
{
	struct out o = {
		.vm = vm,
		.base = vm_ram_or_die(vm, ACPI_TABLES,
				      ACPI_TABLES_END - ACPI_TABLES),
		.len = sizeof(struct rsdp),
	};
	struct rsdp *rsdp = (struct rsdp *)o.base;
	uint32_t tables[2], dsdt, facs;
	struct header *h;
	size_t n = 0;

	facs = write_facs(&o);
	dsdt = write_dsdt(&o);
	tables[n++] = write_fadt(&o, dsdt, facs);
	if (vm->irqchip)
		tables[n++] = write_madt(&o, cpus);

	*rsdp = (struct rsdp){
		.signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' },
		.oem = { 'L', 'U', 'C', 'I', 'D', ' ' },
		.revision = 2,
		.length = sizeof(*rsdp),
	};
	h = begin(&o, "RSDT", 1);
	put(&o, tables, n * sizeof(tables[0]));
	rsdp->rsdt = end(&o, h);
	h = begin(&o, "XSDT", 1);
	for (size_t i = 0; i < n; i++)
		put(&o, &(uint64_t){ tables[i] }, sizeof(uint64_t));
	rsdp->xsdt = end(&o, h);
	rsdp->checksum = checksum(rsdp, 20);	/* of revision 0's part */
	rsdp->x_checksum = checksum(rsdp, sizeof(*rsdp));
}

/* SPDX-License-Identifier: GPL-2.0 */
/* What a test gives the emulator for memory, and what userspace does with MMIO. */
#ifndef LUCID_HOST_EMUL_VM_H
#define LUCID_HOST_EMUL_VM_H

#include <string.h>

#include "emulate.h"

/*
 * The emulator's memory: linear addresses from @base on are @mem, and what
 * @mmio says of a page is MMIO.
 */
static struct {
	u64 base, size;
	u8 *mem;
	u32 mmio;		/* a bit per page */
	u64 fault_from;		/* pages from here on fault when written (0: none do) */
	u64 retry_from;		/* from here on a write is to be tried again later */
	unsigned int calls, longest, locked;
	bool crossed;
	bool contended;		/* another CPU writes between a read and its locked write */
} vm;

static u8 *vm_at(u64 linear, unsigned int len)
{
	vm.calls++;
	if (len > vm.longest && len != 16)	/* CMPXCHG16B is one piece */
		vm.longest = len;
	if ((linear & 4095) + len > 4096)
		vm.crossed = true;
	if (linear < vm.base || linear + len > vm.base + vm.size)
		return NULL;
	return vm.mem + (linear - vm.base);
}

static bool vm_is_mmio(u64 linear)
{
	return vm.mmio >> ((linear - vm.base) >> 12) & 1;
}

static int vm_read(struct lucid_emul_ctxt *c, u64 linear, void *buf, unsigned int len, u64 *gpa)
{
	u8 *p = vm_at(linear, len);

	if (!p)
		return lucid_emul_page_fault(c, linear, 4);
	if (vm_is_mmio(linear)) {
		*gpa = linear - vm.base;
		return LUCID_EMUL_MMIO_READ;
	}
	memcpy(buf, p, len);
	return LUCID_EMUL_OK;
}

static int vm_probe(struct lucid_emul_ctxt *c, u64 linear, unsigned int len)
{
	if (!vm_at(linear, len) || (vm.fault_from && linear >= vm.fault_from))
		return lucid_emul_page_fault(c, linear, 6);
	return LUCID_EMUL_OK;
}

static int vm_write(struct lucid_emul_ctxt *c, u64 linear, const void *buf, unsigned int len,
		    u64 *gpa)
{
	int res = vm_probe(c, linear, len);

	if (res != LUCID_EMUL_OK)
		return res;
	if (vm.retry_from && linear >= vm.retry_from)
		return LUCID_EMUL_RETRY;
	if (vm_is_mmio(linear)) {
		*gpa = linear - vm.base;
		return LUCID_EMUL_MMIO_WRITE;
	}
	memcpy(vm_at(linear, len), buf, len);
	return LUCID_EMUL_OK;
}

/* A LOCKed write; nobody else writes here, so it must be what was read. */
static int vm_cmpxchg(struct lucid_emul_ctxt *c, u64 linear, const void *old, const void *val,
		      unsigned int len, u64 *gpa)
{
	int res = vm_probe(c, linear, len);

	if (res != LUCID_EMUL_OK)
		return res;
	if (vm_is_mmio(linear)) {
		*gpa = linear - vm.base;
		return LUCID_EMUL_MMIO_WRITE;
	}
	if (vm.contended || memcmp(vm_at(linear, len), old, len))
		return LUCID_EMUL_RETRY;
	vm.locked++;
	memcpy(vm_at(linear, len), val, len);
	return LUCID_EMUL_OK;
}

static struct lucid_emul_ops ops = {
	.read_mem = vm_read, .write_mem = vm_write, .probe_write = vm_probe,
	.cmpxchg_mem = vm_cmpxchg,
};

/* What the module does with userspace: answer reads, deliver writes. */
static int emulate(struct lucid_emul_ctxt *c, unsigned int *reads)
{
	unsigned int i;
	int res;

	lucid_emul_begin(c);
	for (*reads = 0; ; ++*reads) {
		res = lucid_emul_run(c);
		if (res != LUCID_EMUL_MMIO_READ || *reads > LUCID_EMUL_MAX_FRAGS)
			break;
		lucid_emul_mmio_answer(c, vm.mem + c->reads[c->nr_reads].gpa);
	}
	for (i = 0; res == LUCID_EMUL_OK && i < c->nr_writes; i++)
		memcpy(vm.mem + c->writes[i].gpa, c->writes[i].data, c->writes[i].len);
	return res;
}

#endif

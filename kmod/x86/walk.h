/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The walk of a guest's own page tables: linear address to guest-physical.
 *
 * Pure logic: the tables are read and written through callbacks. All modes of
 * paging, all permission checks, and the page-fault error code where one fails.
 * (SDM vol. 3A, "Paging"; APM vol. 2, "Page Translation and Protection".)
 */
#ifndef LUCID_X86_WALK_H
#define LUCID_X86_WALK_H

#include <linux/types.h>

enum lucid_paging {
	LUCID_PAGING_NONE,	/* CR0.PG = 0: linear is physical */
	LUCID_PAGING_32,	/* two levels, 4K and (CR4.PSE) 4M pages */
	LUCID_PAGING_PAE,	/* three levels, 4K and 2M pages */
	LUCID_PAGING_4,		/* long mode: 4K, 2M, 1G pages */
	LUCID_PAGING_5,		/* long mode with CR4.LA57 */
};

/* What is wanted; the first three have the values of the page-fault error code. */
#define LUCID_ACC_WRITE		0x02u
#define LUCID_ACC_USER		0x04u	/* an access of CPL 3 (not an implicit one) */
#define LUCID_ACC_FETCH		0x10u
#define LUCID_ACC_READ		0x00u
#define LUCID_ACC_IMPLICIT	0x100u	/* of a descriptor table or TSS: EFLAGS.AC does not help against SMAP */
#define LUCID_ACC_NO_AD		0x200u	/* leave no trace: A and D bits stay as they are */
#define LUCID_ACC_ANY		0x400u	/* only translate: no permission is checked (reserved bits are) */

/* Bits of the page-fault error code. */
#define LUCID_PF_PRESENT	0x01u	/* a protection violation, not a missing page */
#define LUCID_PF_WRITE		0x02u
#define LUCID_PF_USER		0x04u
#define LUCID_PF_RSVD		0x08u
#define LUCID_PF_FETCH		0x10u

struct lucid_walk;

struct lucid_walk_ops {
	/*
	 * Read the @size (4 or 8) bytes of a table entry at @gpa, zero-extended
	 * into @val; it must be a single access. 0, or a negative error.
	 */
	int (*read_pte)(const struct lucid_walk *w, u64 gpa, u64 *val, unsigned int size);
	/*
	 * Atomically replace @old by @new. 0: done. 1: the entry was no longer
	 * @old, walk again. Negative: an error.
	 */
	int (*cmpxchg_pte)(const struct lucid_walk *w, u64 gpa, u64 old, u64 new, unsigned int size);
};

/**
 * struct lucid_walk - how a vCPU translates addresses at the moment
 * @ops:	access to its tables
 * @ctx:	for @ops, not looked at
 * @cr3:	CR3 as the guest has it (low bits are masked here)
 * @paging:	the mode
 * @maxphyaddr:	bits of a physical address (CPUID 80000008), 36..52
 * @pse:	CR4.PSE
 * @wp:		CR0.WP
 * @nxe:	EFER.NXE
 * @smep:	CR4.SMEP
 * @smap:	CR4.SMAP
 * @ac:		EFLAGS.AC
 * @gbpages:	1G pages exist (CPUID 80000001 EDX.26)
 * @rsvd_bit8:	bit 8 of PML5 and PML4 entries is reserved (AMD)
 */
struct lucid_walk {
	const struct lucid_walk_ops *ops;
	void *ctx;
	u64 cr3;
	enum lucid_paging paging;
	u8 maxphyaddr;
	bool pse;
	bool wp;
	bool nxe;
	bool smep;
	bool smap;
	bool ac;
	bool gbpages;
	bool rsvd_bit8;
};

/**
 * struct lucid_walk_result - what came of it
 * @gpa:	the guest-physical address (whole, with the offset in the page)
 * @page_shift:	12, 21, 22 or 30: the size of the guest's page; 12 without paging
 * @level:	of the last entry read: 1 is a page table; 0 without paging
 * @write, @user, @exec: rights, all levels taken together, before CR0.WP, SMEP, SMAP
 * @pte_gpa:	where the last entry read stands
 * @pte:	its value (before A and D were set)
 * @error_code:	of the page fault, after LUCID_WALK_FAULT
 */
struct lucid_walk_result {
	u64 gpa;
	u8 page_shift;
	u8 level;
	bool write;
	bool user;
	bool exec;
	u64 pte_gpa;
	u64 pte;
	u32 error_code;
};

#define LUCID_WALK_OK		0
#define LUCID_WALK_FAULT	1	/* a page fault; CR2 is the linear address */
#define LUCID_WALK_RETRY	2	/* entries kept changing under us: start again later */

/**
 * lucid_walk() - translate one linear address
 * @w:		the mode and the tables
 * @linear:	the address; canonical in long mode (the caller checked it),
 *		below 4G otherwise
 * @access:	LUCID_ACC_*
 * @res:	the result; after a fault @error_code, @level and @pte are valid
 *
 * A and D bits are set as the CPU does (D on a leaf that is written), after
 * all checks have passed; never with LUCID_ACC_NO_AD. Context: that of the
 * callbacks. Return: LUCID_WALK_*, or the negative error of a callback.
 */
int lucid_walk(const struct lucid_walk *w, u64 linear, u32 access,
	       struct lucid_walk_result *res);

#endif /* LUCID_X86_WALK_H */

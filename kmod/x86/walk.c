// SPDX-License-Identifier: GPL-2.0
/*
 * The walk of a guest's page tables. Read walk.h first.
 *
 * One loop for all modes. They differ in the number of levels, the size of an
 * entry (struct format) and in which bits of an entry must be zero
 * (reserved_bits()); a 4M page alone has its address in a place of its own.
 */
#include <linux/types.h>

#include "walk.h"

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_U		(1ull << 2)
#define PTE_A		(1ull << 5)
#define PTE_D		(1ull << 6)
#define PTE_PS		(1ull << 7)
#define PTE_NX		(1ull << 63)

#define MAX_LEVELS	5
#define MAX_RESTARTS	16

/* Bits @low..@high, both included; none if @low is above @high. */
static u64 bits(unsigned int low, unsigned int high)
{
	return low > high ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

static const struct format {
	u8 levels;
	u8 pte_size;
	u8 index_bits;
	u8 root_low, root_high;	/* bits of CR3 that are its address */
} formats[] = {
	[LUCID_PAGING_NONE] = { 0, 0, 0, 0, 0 },
	[LUCID_PAGING_32]   = { 2, 4, 10, 12, 31 },
	[LUCID_PAGING_PAE]  = { 3, 8, 9, 5, 31 },
	[LUCID_PAGING_4]    = { 4, 8, 9, 12, 51 },
	[LUCID_PAGING_5]    = { 5, 8, 9, 12, 51 },
};

/* A walk as far as it got: an entry per level, [1] is of a page table. */
struct path {
	u64 pte[MAX_LEVELS + 1];
	u64 gpa[MAX_LEVELS + 1];
};

/* The four entries on top of PAE are a kind of their own: no rights, no A bit. */
static bool is_pae_pdpte(const struct lucid_walk *w, unsigned int level)
{
	return w->paging == LUCID_PAGING_PAE && level == 3;
}

/* Does this present entry map a page? */
static bool is_leaf(const struct lucid_walk *w, unsigned int level, u64 pte)
{
	if (level == 1)
		return true;
	if (!(pte & PTE_PS) || is_pae_pdpte(w, level))
		return false;
	if (level == 2)
		return w->paging != LUCID_PAGING_32 || w->pse;
	return level == 3 && w->gbpages;
}

/*
 * Bits that must be zero. By mode (M = maxphyaddr):
 *
 *			32-bit		PAE			4 and 5 levels
 *   above the address	-		62:M			51:M
 *   NX			-		63 unless NXE		63 unless NXE
 *   PML5E, PML4E	-		-			7; 8 on AMD
 *   PDPTE		-		63, 8:7, 2:1		7 without 1G pages
 *   large page		21:13 but those	20:13			2M 20:13, 1G 29:13
 *			of PSE-36
 */
static u64 reserved_bits(const struct lucid_walk *w, unsigned int level, bool leaf)
{
	u64 rsvd;

	if (w->paging == LUCID_PAGING_32) {
		unsigned int high = w->maxphyaddr < 40 ? w->maxphyaddr : 40;

		/* bits 20:13 of a 4M page are bits 39:32 of its address */
		return leaf && level == 2 ? bits(13 + high - 32, 21) : 0;
	}

	rsvd = bits(w->maxphyaddr, w->paging == LUCID_PAGING_PAE ? 62 : 51);
	if (!w->nxe || is_pae_pdpte(w, level))
		rsvd |= PTE_NX;
	if (is_pae_pdpte(w, level))
		rsvd |= bits(1, 2) | bits(7, 8);	/* 5, 6: QEMU's CPU sets A */
	else if (level > 3 || (level == 3 && !w->gbpages))
		rsvd |= PTE_PS;
	if (level > 3 && w->rsvd_bit8)
		rsvd |= bits(8, 8);
	if (leaf && level > 1)
		rsvd |= bits(13, 12 + 9 * (level - 1) - 1);
	return rsvd;
}

/* The address in an entry: of the next table, or of a page of 1 << @shift bytes. */
static u64 pte_address(const struct lucid_walk *w, u64 pte, bool leaf, unsigned int shift)
{
	if (!leaf)
		shift = 12;
	if (w->paging != LUCID_PAGING_32)
		return pte & bits(shift, 51);
	if (shift == 22)
		return (pte & bits(22, 31)) | (pte & bits(13, 20)) << 19;
	return pte & bits(12, 31);
}

static int page_fault(const struct lucid_walk *w, u32 access, u32 why,
		      struct lucid_walk_result *res)
{
	res->error_code = why | (access & (LUCID_PF_WRITE | LUCID_PF_USER));
	/* fetches are told apart only where something can forbid them */
	if (access & LUCID_ACC_FETCH &&
	    (w->smep || (w->nxe && w->paging != LUCID_PAGING_32)))
		res->error_code |= LUCID_PF_FETCH;
	return LUCID_WALK_FAULT;
}

/* May the access be made, with the rights that all levels gave together? */
static bool permitted(const struct lucid_walk *w, u32 access,
		      const struct lucid_walk_result *res)
{
	bool user = access & LUCID_ACC_USER;

	if (access & LUCID_ACC_ANY)
		return true;
	if (user && !res->user)
		return false;
	if (access & LUCID_ACC_WRITE && !res->write && (user || w->wp))
		return false;
	if (access & LUCID_ACC_FETCH)
		return res->exec && !(w->smep && !user && res->user);
	/* SMAP: data of user pages only with AC set, and never implicitly */
	return !(w->smap && !user && res->user && (!w->ac || access & LUCID_ACC_IMPLICIT));
}

/* From the root to the leaf, and all checks. LUCID_WALK_*, or a callback's error. */
static int descend(const struct lucid_walk *w, u64 linear, u32 access,
		   struct path *path, struct lucid_walk_result *res)
{
	const struct format *f = &formats[w->paging];
	unsigned int shift = 12 + f->index_bits * f->levels;
	u64 table = w->cr3 & bits(f->root_low, f->root_high);
	unsigned int level;
	bool leaf = false;

	res->write = res->user = res->exec = true;

	for (level = f->levels; !leaf; level--) {
		u64 index, pte;
		int err;

		shift -= f->index_bits;
		index = (linear >> shift) & bits(0, f->index_bits - 1);
		path->gpa[level] = table + index * f->pte_size;
		err = w->ops->read_pte(w, path->gpa[level], &pte, f->pte_size);
		if (err)
			return err;

		path->pte[level] = pte;
		res->level = level;
		res->pte_gpa = path->gpa[level];
		res->pte = pte;
		if (!(pte & PTE_P))
			return page_fault(w, access, 0, res);

		leaf = is_leaf(w, level, pte);
		if (pte & reserved_bits(w, level, leaf))
			return page_fault(w, access, LUCID_PF_PRESENT | LUCID_PF_RSVD, res);

		if (!is_pae_pdpte(w, level)) {
			res->write = res->write && pte & PTE_W;
			res->user = res->user && pte & PTE_U;
			res->exec = res->exec && !(pte & PTE_NX);
		}
		table = pte_address(w, pte, leaf, shift);
	}

	res->page_shift = shift;
	res->gpa = table | (linear & bits(0, shift - 1));
	if (!permitted(w, access, res))
		return page_fault(w, access, LUCID_PF_PRESENT, res);
	return LUCID_WALK_OK;
}

/* Set what is not set yet. LUCID_WALK_RETRY: an entry has changed meanwhile. */
static int set_accessed_dirty(const struct lucid_walk *w, u32 access, const struct path *path,
			      unsigned int leaf_level)
{
	const struct format *f = &formats[w->paging];
	unsigned int level;
	int err;

	for (level = f->levels; level >= leaf_level; level--) {
		u64 old = path->pte[level], new = old;

		if (!is_pae_pdpte(w, level))
			new |= PTE_A;
		if (level == leaf_level && access & LUCID_ACC_WRITE)
			new |= PTE_D;
		if (new == old)
			continue;
		err = w->ops->cmpxchg_pte(w, path->gpa[level], old, new, f->pte_size);
		if (err)
			return err < 0 ? err : LUCID_WALK_RETRY;
	}
	return LUCID_WALK_OK;
}

int lucid_walk(const struct lucid_walk *w, u64 linear, u32 access,
	       struct lucid_walk_result *res)
{
	unsigned int restarts;
	struct path path;
	int err;

	*res = (struct lucid_walk_result){ .page_shift = 12 };

	if (w->paging == LUCID_PAGING_NONE) {
		res->gpa = linear;
		res->write = res->user = res->exec = true;
		return LUCID_WALK_OK;
	}

	for (restarts = 0; restarts < MAX_RESTARTS; restarts++) {
		err = descend(w, linear, access, &path, res);
		if (err || access & LUCID_ACC_NO_AD)
			return err;
		err = set_accessed_dirty(w, access, &path, res->level);
		if (err != LUCID_WALK_RETRY)
			return err;
	}
	return LUCID_WALK_RETRY;
}

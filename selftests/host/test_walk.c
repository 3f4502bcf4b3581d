// SPDX-License-Identifier: GPL-2.0
/*
 * The guest page walk against a second one, written from the manuals' figures,
 * one level after the other, slow and without shared code: random tables,
 * all modes, all permission bits, and which A and D bits are set.
 */
#include <string.h>

#include "tap.h"
#include "walk.h"

#define PAGES		32
#define MEM_SIZE	(PAGES * 4096)
#define MAX_UPDATES	8
#define EBADADDR	(-14)

static u8 mem[MEM_SIZE] __attribute__((aligned(4096)));

struct update {
	u64 gpa, old, new;
};

/* What a walk did to the tables. */
struct updates {
	unsigned int count;
	struct update u[MAX_UPDATES];
};

static struct updates seen;
static unsigned int interfere;	/* so many compare-exchanges find another value */
static int broken;		/* the error of all of them */

static int read_pte(const struct lucid_walk *w, u64 gpa, u64 *val, unsigned int size)
{
	(void)w;
	if (gpa > MEM_SIZE - size)
		return EBADADDR;
	*val = 0;
	memcpy(val, mem + gpa, size);
	return 0;
}

static int cmpxchg_pte(const struct lucid_walk *w, u64 gpa, u64 old, u64 new, unsigned int size)
{
	u64 now;

	if (broken)
		return broken;
	if (read_pte(w, gpa, &now, size))
		return EBADADDR;
	if (interfere) {
		interfere--;
		return 1;
	}
	if (now != old)
		return 1;
	memcpy(mem + gpa, &new, size);
	if (seen.count < MAX_UPDATES)
		seen.u[seen.count++] = (struct update){ gpa, old, new };
	return 0;
}

static const struct lucid_walk_ops ops = { read_pte, cmpxchg_pte };

/*
 * The reference. Its state, so that each level is a few lines.
 */
struct ref {
	const struct lucid_walk *w;
	u64 linear;
	u32 access;
	bool w_ok, u_ok, x_ok;
	u64 gpa;
	unsigned int shift;
	u32 error_code;
	int result;
	u64 last_gpa, last_pte;
	struct updates want;
	struct update path[MAX_UPDATES];
	unsigned int path_len;
};

static int ref_fault(struct ref *r, u32 bits)
{
	r->error_code = bits;
	if (r->access & LUCID_ACC_WRITE)
		r->error_code |= 2;
	if (r->access & LUCID_ACC_USER)
		r->error_code |= 4;
	if (r->access & LUCID_ACC_FETCH) {
		if (r->w->smep)
			r->error_code |= 16;
		if (r->w->nxe && r->w->paging >= LUCID_PAGING_PAE)
			r->error_code |= 16;
	}
	r->result = LUCID_WALK_FAULT;
	return 1;
}

/* Read an entry; 1 if the walk ends here. @has_rights: not a PAE PDPTE. */
static int ref_entry(struct ref *r, u64 gpa, unsigned int size, u64 rsvd, bool has_rights,
		     u64 *pte)
{
	int err = read_pte(r->w, gpa, pte, size);

	if (err) {
		r->result = err;
		return 1;
	}
	r->last_gpa = gpa;
	r->last_pte = *pte;
	if (!(*pte & 1))
		return ref_fault(r, 0);
	if (*pte & rsvd)
		return ref_fault(r, 1 | 8);
	if (has_rights) {
		r->w_ok &= *pte >> 1 & 1;
		r->u_ok &= *pte >> 2 & 1;
		r->x_ok &= !(*pte >> 63);
		r->path[r->path_len++] = (struct update){ gpa, *pte, *pte | 0x20 };
	}
	return 0;
}

static void ref_done(struct ref *r, u64 page, unsigned int shift)
{
	bool user = r->access & LUCID_ACC_USER, write = r->access & LUCID_ACC_WRITE;
	bool fetch = r->access & LUCID_ACC_FETCH, bad = false;
	unsigned int i;

	r->shift = shift;
	r->gpa = page + r->linear % (1ull << shift);

	if (user) {
		if (!r->u_ok)
			bad = true;
		if (write && !r->w_ok)
			bad = true;
		if (fetch && !r->x_ok)
			bad = true;
	} else if (fetch) {
		if (!r->x_ok)
			bad = true;
		if (r->u_ok && r->w->smep)
			bad = true;
	} else {
		if (write && !r->w_ok && r->w->wp)
			bad = true;
		if (r->u_ok && r->w->smap) {
			if (r->access & LUCID_ACC_IMPLICIT)
				bad = true;
			else if (!r->w->ac)
				bad = true;
		}
	}
	if (bad && !(r->access & LUCID_ACC_ANY)) {
		ref_fault(r, 1);
		return;
	}
	r->result = LUCID_WALK_OK;
	if (r->access & LUCID_ACC_NO_AD)
		return;
	if (write)
		r->path[r->path_len - 1].new |= 0x40;
	for (i = 0; i < r->path_len; i++)
		if (r->path[i].new != r->path[i].old)
			r->want.u[r->want.count++] = r->path[i];
}

static void ref_32(struct ref *r)
{
	u64 pde, pte, rsvd = 0;
	u64 pde_gpa = (r->w->cr3 & 0xfffff000) + (r->linear >> 22) * 4;

	if (read_pte(r->w, pde_gpa, &pde, 4) == 0 && pde & 0x80 && r->w->pse) {
		unsigned int bit;

		rsvd = 1 << 21;
		for (bit = 32; bit < 40; bit++)
			if (bit >= r->w->maxphyaddr)
				rsvd |= 1 << (13 + bit - 32);
		if (!ref_entry(r, pde_gpa, 4, rsvd, true, &pde))
			ref_done(r, (pde & 0xffc00000) + (((pde >> 13) & 0xff) << 32), 22);
		return;
	}
	if (ref_entry(r, pde_gpa, 4, 0, true, &pde))
		return;
	if (ref_entry(r, (pde & 0xfffff000) + (r->linear >> 12) % 1024 * 4, 4, 0, true, &pte))
		return;
	ref_done(r, pte & 0xfffff000, 12);
}

#define ADDR	0x000ffffffffff000ull

/* The page directory and below, the same in PAE and long mode. @high: reserved above the address. */
static void ref_pd(struct ref *r, u64 pd, u64 high)
{
	u64 gpa = pd + (r->linear >> 21) % 512 * 8;
	u64 pde, pte;

	if (read_pte(r->w, gpa, &pde, 8) == 0 && pde & 0x80) {
		if (!ref_entry(r, gpa, 8, high | 0x1fe000, true, &pde))
			ref_done(r, pde & 0x000fffffffe00000ull, 21);
		return;
	}
	if (ref_entry(r, gpa, 8, high, true, &pde))
		return;
	if (ref_entry(r, (pde & ADDR) + (r->linear >> 12) % 512 * 8, 8, high, true, &pte))
		return;
	ref_done(r, pte & ADDR, 12);
}

static void ref_pae(struct ref *r)
{
	u64 above = 0, pdpte;
	unsigned int bit;

	for (bit = r->w->maxphyaddr; bit < 63; bit++)
		above |= 1ull << bit;
	/* A and D are reserved here by the manuals, but QEMU's CPU sets A: let them be */
	if (ref_entry(r, (r->w->cr3 & 0xffffffe0) + (r->linear >> 30) * 8, 8,
		      above | 1ull << 63 | 0x186, false, &pdpte))
		return;
	ref_pd(r, pdpte & ADDR, above | (r->w->nxe ? 0 : 1ull << 63));
}

static void ref_long(struct ref *r)
{
	u64 high = r->w->nxe ? 0 : 1ull << 63;
	u64 top = 0x80 | (r->w->rsvd_bit8 ? 0x100 : 0);
	u64 table = r->w->cr3 & ADDR, gpa, pte;
	unsigned int bit;

	for (bit = r->w->maxphyaddr; bit < 52; bit++)
		high |= 1ull << bit;

	if (r->w->paging == LUCID_PAGING_5) {
		if (ref_entry(r, table + (r->linear >> 48) % 512 * 8, 8, high | top, true, &pte))
			return;
		table = pte & ADDR;
	}
	if (ref_entry(r, table + (r->linear >> 39) % 512 * 8, 8, high | top, true, &pte))
		return;
	table = pte & ADDR;

	gpa = table + (r->linear >> 30) % 512 * 8;
	if (r->w->gbpages && read_pte(r->w, gpa, &pte, 8) == 0 && pte & 0x80) {
		if (!ref_entry(r, gpa, 8, high | 0x3fffe000, true, &pte))
			ref_done(r, pte & 0x000fffffc0000000ull, 30);
		return;
	}
	if (ref_entry(r, gpa, 8, high | (r->w->gbpages ? 0 : 0x80), true, &pte))
		return;
	ref_pd(r, pte & ADDR, high);
}

static void ref_walk(struct ref *r, const struct lucid_walk *w, u64 linear, u32 access)
{
	memset(r, 0, sizeof(*r));
	r->w = w;
	r->linear = linear;
	r->access = access;
	r->w_ok = r->u_ok = r->x_ok = true;

	switch (w->paging) {
	case LUCID_PAGING_NONE:
		r->gpa = linear;
		r->shift = 12;
		break;
	case LUCID_PAGING_32:
		ref_32(r);
		break;
	case LUCID_PAGING_PAE:
		ref_pae(r);
		break;
	default:
		ref_long(r);
	}
}

/*
 * An entry that leads somewhere, most of the time: it points into @mem, is
 * present, and its rights are given; now and then any other bit is set too.
 */
static u64 random_pte(unsigned int size)
{
	u64 pte = (u64)rnd_below(PAGES) << 12;

	pte |= rnd_below(16) ? 1 : 0;
	pte |= rnd_below(5) ? 2 : 0;
	pte |= rnd_below(3) ? 4 : 0;
	pte |= rnd() & 0x60;
	pte |= rnd_below(4) ? 0 : 0x80;
	pte |= rnd_below(8) ? 0 : 0x100;
	if (size == 8)
		pte |= rnd_below(8) ? 0 : 1ull << 63;
	if (!rnd_below(8))		/* a page far away, in large pages aligned */
		pte |= rnd() & 0xffffc0000000ull;
	if (!rnd_below(8))
		pte &= ~0x1fe000ull;
	if (!rnd_below(12))
		pte |= 1ull << rnd_below(8 * size);
	if (!rnd_below(64))
		pte = rnd();
	return pte;
}

/* For PAE the first pages are good as its topmost table, which has no rights to give. */
#define PAE_TOP_PAGES	4

static void random_tables(unsigned int size, bool pae)
{
	u64 i;

	for (i = 0; i < MEM_SIZE; i += size) {
		u64 pte = random_pte(size);

		if (pae && i < PAE_TOP_PAGES * 4096 && rnd_below(16))
			pte &= ~(0x186ull | 1ull << 63);

		memcpy(mem + i, &pte, size);
	}
}

static void random_mode(struct lucid_walk *w, enum lucid_paging paging)
{
	static const u8 widths[] = { 36, 39, 40, 46, 48, 52 };
	u64 r = rnd() >> 32;
	u64 high = paging < LUCID_PAGING_4 ? rnd() << 32 : 0;	/* ignored in CR3 */

	if (!rnd_below(16))		/* now and then the tables are elsewhere */
		high |= 1ull << (12 + rnd_below(52));
	*w = (struct lucid_walk){
		.ops = &ops,
		.paging = paging,
		.cr3 = (u64)rnd_below(paging == LUCID_PAGING_PAE && rnd_below(8) ?
				      PAE_TOP_PAGES : PAGES) << 12 | (rnd() & 0xfff) | high,
		.maxphyaddr = widths[rnd_below(sizeof(widths))],
		.pse = r & 1, .wp = r & 2, .nxe = r & 4, .smep = r & 8, .smap = r & 16,
		.ac = r & 32, .gbpages = r & 64, .rsvd_bit8 = r & 128,
	};
}

static u32 random_access(void)
{
	u32 access = LUCID_ACC_READ;

	switch (rnd_below(3)) {
	case 0:
		access = LUCID_ACC_WRITE;
		break;
	case 1:
		access = LUCID_ACC_FETCH;
	}
	if (rnd_below(2))
		access |= LUCID_ACC_USER;
	else if (!rnd_below(4) && access != LUCID_ACC_FETCH)
		access |= LUCID_ACC_IMPLICIT;
	if (!rnd_below(8))
		access |= LUCID_ACC_NO_AD;
	if (!rnd_below(16))
		access |= LUCID_ACC_ANY;
	return access;
}

static const char *const paging_name[] = { "none", "32-bit", "PAE", "4-level", "5-level" };

/* Outcomes that the random tables reached; a test that never gets there proves nothing. */
static struct {
	u64 ok[31], missing, rsvd, denied, beyond, updates;
} reached;

static bool same_updates(const struct updates *a, const struct updates *b)
{
	unsigned int i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (a->u[i].gpa != b->u[i].gpa || a->u[i].old != b->u[i].old ||
		    a->u[i].new != b->u[i].new)
			return false;
	return true;
}

static bool walk_once(const struct lucid_walk *w, u64 linear, u32 access)
{
	struct lucid_walk_result res;
	const char *bad = NULL;
	struct ref ref;
	unsigned int i;
	int err;

	ref_walk(&ref, w, linear, access);
	/* two entries of a path can be one and the same place: then the CPU meets its own update */
	for (i = 1; i < ref.path_len; i++) {
		unsigned int j;

		for (j = 0; j < i; j++)
			if (ref.path[i].gpa == ref.path[j].gpa)
				return true;
	}
	seen.count = 0;
	err = lucid_walk(w, linear, access, &res);

	if (err != ref.result)
		bad = "result";
	else if (err == LUCID_WALK_FAULT && res.error_code != ref.error_code)
		bad = "error code";
	else if (!err && (res.gpa != ref.gpa || res.page_shift != ref.shift))
		bad = "address or page size";
	else if (!err && (res.write != ref.w_ok || res.user != ref.u_ok || res.exec != ref.x_ok))
		bad = "rights";
	else if (err >= 0 && (res.pte_gpa != ref.last_gpa || res.pte != ref.last_pte))
		bad = "last entry";
	else if (!err && w->paging && 12u + (res.level - 1) * (ref.shift == 22 ? 10 : 9) != ref.shift)
		bad = "level";
	else if (!same_updates(&seen, &ref.want))
		bad = "A and D bits";

	for (i = 0; i < seen.count; i++)
		memcpy(mem + seen.u[i].gpa, &seen.u[i].old, w->paging == LUCID_PAGING_32 ? 4 : 8);

	if (!ref.result)
		reached.ok[ref.shift]++;
	else if (ref.result < 0)
		reached.beyond++;
	else if (!(ref.error_code & 1))
		reached.missing++;
	else if (ref.error_code & 8)
		reached.rsvd++;
	else
		reached.denied++;
	reached.updates += ref.want.count;

	if (!bad)
		return true;
	tap_diag("%s: linear %llx access %x: %s; result %d/%d gpa %llx/%llx error %x/%x",
		 paging_name[w->paging], (unsigned long long)linear, access, bad,
		 err, ref.result, (unsigned long long)res.gpa, (unsigned long long)ref.gpa,
		 res.error_code, ref.error_code);
	return false;
}

static void test_random(enum lucid_paging paging, unsigned int tables, unsigned int walks)
{
	unsigned int i, j, wrong = 0, size = paging == LUCID_PAGING_32 ? 4 : 8;
	struct lucid_walk w;
	bool all;

	memset(&reached, 0, sizeof(reached));
	for (i = 0; i < tables; i++) {
		random_tables(size, paging == LUCID_PAGING_PAE);
		for (j = 0; j < walks && wrong < 10; j++) {
			u64 linear = rnd();

			random_mode(&w, paging);
			if (paging < LUCID_PAGING_4)
				linear &= 0xffffffff;
			else
				linear = (u64)((s64)(linear << 7) >> 7);
			wrong += !walk_once(&w, linear, random_access());
		}
	}
	tap_ok(!wrong, "%s paging: %u random walks as the reference has them",
	       paging_name[paging], tables * walks);

	if (paging == LUCID_PAGING_NONE)
		return;
	all = reached.ok[12] && reached.missing && reached.rsvd + (paging == LUCID_PAGING_32) &&
	      reached.denied && reached.updates &&
	      reached.ok[paging == LUCID_PAGING_32 ? 22 : 21] &&
	      (paging < LUCID_PAGING_4 || reached.ok[30]);
	tap_ok(all, "%s paging: every outcome met (4K %llu, 2M %llu, 4M %llu, 1G %llu, not present %llu, reserved %llu, denied %llu)",
	       paging_name[paging], (unsigned long long)reached.ok[12],
	       (unsigned long long)reached.ok[21], (unsigned long long)reached.ok[22],
	       (unsigned long long)reached.ok[30], (unsigned long long)reached.missing,
	       (unsigned long long)reached.rsvd, (unsigned long long)reached.denied);
}

/* Entries that change between read and update are walked again; not for ever. */
static void test_races(void)
{
	struct lucid_walk w = {
		.ops = &ops, .paging = LUCID_PAGING_4, .maxphyaddr = 40, .cr3 = 0,
	};
	struct lucid_walk_result res;
	unsigned int i, wrong = 0;
	u64 pte;

	memset(mem, 0, sizeof(mem));
	for (i = 0; i < 4; i++) {
		pte = (i + 1) << 12 | 7;
		memcpy(mem + i * 4096, &pte, 8);
	}
	interfere = 3;
	wrong += lucid_walk(&w, 0x123, LUCID_ACC_WRITE, &res) != LUCID_WALK_OK;
	wrong += res.gpa != 0x4123 || interfere;
	for (i = 0; i < 4; i++) {
		memcpy(&pte, mem + i * 4096, 8);
		wrong += pte != ((i + 1) << 12 | 0x27 | (i == 3 ? 0x40 : 0));
		pte &= ~0x60ull;
		memcpy(mem + i * 4096, &pte, 8);
	}
	tap_ok(!wrong, "an entry that changes under the walk is walked again");

	interfere = ~0u;
	tap_ok(lucid_walk(&w, 0x123, LUCID_ACC_READ, &res) == LUCID_WALK_RETRY,
	       "a walk that never gets through gives up");
	interfere = 0;

	broken = -5;
	tap_ok(lucid_walk(&w, 0x123, LUCID_ACC_READ, &res) == -5 &&
	       lucid_walk(&w, 0x123, LUCID_ACC_READ | LUCID_ACC_NO_AD, &res) == LUCID_WALK_OK,
	       "tables that cannot be written: the callback's error, unless A and D are left alone");
	broken = 0;
}

int main(int argc, char **argv)
{
	unsigned int tables = argc > 1 ? strtoul(argv[1], NULL, 0) : 200;
	enum lucid_paging paging;

	rnd_seed(5);
	for (paging = LUCID_PAGING_NONE; paging <= LUCID_PAGING_5; paging++)
		test_random(paging, tables, 5000);
	test_races();
	return tap_done();
}

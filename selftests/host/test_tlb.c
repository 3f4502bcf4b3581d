// SPDX-License-Identifier: GPL-2.0
/*
 * The tag decisions (kmod/tlb) against their table, and against a model of CPUs
 * whose TLBs forget nothing on their own: what is filled under a tag stays until
 * a flush takes it.  Every real TLB forgets more, so what is right here is right
 * there.  Neither emulator of the lab tags its TLB: a flush that is missing shows
 * up in this test only.
 */
#include <string.h>

#include "tap.h"
#include "tlb.h"

#define NELEM(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- the table at the head of tlb.c, row by row ---- */

enum action { NEW_TAG, THIS_TAG, NOTHING };

#define ANY	(-1)

static const struct row {
	int ran, same_cpu, same_generation, same_epoch, owed;
	enum action action;
	enum lucid_tlb_cause cause;
} rows[] = {
	/* ran  cpu  gen  epoch owed */
	{  0,   ANY, ANY, ANY,  ANY, NEW_TAG,  LUCID_TLB_FIRST_USE },
	{  1,   0,   ANY, ANY,  ANY, NEW_TAG,  LUCID_TLB_MIGRATION },
	{  1,   1,   0,   ANY,  ANY, NEW_TAG,  LUCID_TLB_RECYCLED },
	{  1,   1,   1,   0,    ANY, THIS_TAG, LUCID_TLB_EPOCH },
	{  1,   1,   1,   1,    1,   THIS_TAG, LUCID_TLB_GUEST },
	{  1,   1,   1,   1,    0,   NOTHING,  LUCID_TLB_WARM },
};

static bool is(int in_row, bool value)
{
	return in_row == ANY || in_row == value;
}

/* The one row for a situation; the table has to be complete and unambiguous. */
static const struct row *find_row(bool ran, bool cpu, bool gen, bool epoch, bool owed)
{
	const struct row *found = NULL;
	unsigned int i;

	for (i = 0; i < NELEM(rows); i++) {
		const struct row *r = &rows[i];

		if (!is(r->ran, ran) || !is(r->same_cpu, cpu) || !is(r->same_generation, gen) ||
		    !is(r->same_epoch, epoch) || !is(r->owed, owed))
			continue;
		if (found)
			return NULL;
		found = r;
	}
	return found;
}

static void enter(struct lucid_tlb_cpu *tc, struct lucid_tlb_vcpu *tv, int cpu, u64 epoch)
{
	struct lucid_tlb_decision d = lucid_tlb_decide(tc, tv, cpu, epoch);

	lucid_tlb_commit(tc, tv, &d);
}

#define TAGS	16

/* What a CPU can flush, and by what it keeps entries apart. */
enum kind { ALL_ONLY, BY_TAG, BY_TAG_AND_ROOT, KINDS };

static const char *const kind_name[KINDS] = { "all only", "by tag", "by tag and root" };

static void cpu_up(struct lucid_tlb_cpu *tc, u32 tags, enum kind kind)
{
	lucid_tlb_cpu_init(tc, tags, kind != ALL_ONLY, kind == BY_TAG_AND_ROOT);
}

/* A CPU that is up and has paid its first flush, with many tags left. */
static void ready_cpu(struct lucid_tlb_cpu *tc, int cpu, enum kind kind)
{
	struct lucid_tlb_vcpu other;

	*tc = (struct lucid_tlb_cpu) { 0 };
	cpu_up(tc, TAGS, kind);
	lucid_tlb_vcpu_init(&other);
	enter(tc, &other, cpu, 1);
}

/* Hand out tags to others until the CPU has begun anew, its flush done. */
static void roll_over(struct lucid_tlb_cpu *tc, int cpu)
{
	u64 generation = tc->generation;
	int i;

	for (i = 0; tc->generation == generation && i < 2 * TAGS; i++) {
		struct lucid_tlb_vcpu other;

		lucid_tlb_vcpu_init(&other);
		enter(tc, &other, cpu, 1);
	}
}

static const char *check_row(const struct row *r, unsigned int situation, enum kind kind,
			     bool flush_all, bool fails)
{
	bool ran = situation & 1, same_cpu = situation & 2, same_generation = situation & 4;
	bool same_epoch = situation & 8, owed = situation & 16;
	bool new_tag = r->action == NEW_TAG || (r->action == THIS_TAG && kind == ALL_ONLY);
	enum lucid_tlb_flush flush = flush_all ? LUCID_TLB_FLUSH_ALL :
		r->action == NOTHING ? LUCID_TLB_KEEP :
		kind == BY_TAG_AND_ROOT && r->cause != LUCID_TLB_GUEST ? LUCID_TLB_FLUSH_ROOT :
		r->action == THIS_TAG && kind != ALL_ONLY ? LUCID_TLB_FLUSH_TAG : LUCID_TLB_KEEP;
	struct lucid_tlb_cpu tc[2];
	struct lucid_tlb_vcpu tv;
	struct lucid_tlb_decision d, again;
	u64 epoch = 7;
	int cpu = 0;
	u32 tag, next;
	bool warm;

	ready_cpu(&tc[0], 0, kind);
	ready_cpu(&tc[1], 1, kind);
	lucid_tlb_vcpu_init(&tv);
	if (ran) {
		enter(&tc[0], &tv, 0, epoch);
		if (tv.tag < 1 || tv.tag >= TAGS)
			return "a tag that is not ours";
		if (!same_generation)
			roll_over(&tc[0], 0);
	}
	if (!same_cpu)
		cpu = 1;
	if (!same_epoch)
		epoch++;
	tv.flush_guest = owed;
	tc[cpu].flush_all = flush_all;

	tag = tv.tag;
	next = tc[cpu].next;
	warm = lucid_tlb_is_warm(&tc[cpu], &tv, cpu, epoch);
	d = lucid_tlb_decide(&tc[cpu], &tv, cpu, epoch);

	if (d.cause != r->cause)
		return "cause";
	if (d.flush != flush)
		return "flush";
	if (tv.tag != (new_tag ? next : tag))
		return "tag";
	if (new_tag && tc[cpu].next != next + 1)
		return "the tag can be handed out again";
	if (warm != (d.cause == LUCID_TLB_WARM && d.flush == LUCID_TLB_KEEP))
		return "lucid_tlb_is_warm() says otherwise";

	if (fails) {
		/* It is tried again: nothing owed is forgotten. */
		again = lucid_tlb_decide(&tc[cpu], &tv, cpu, epoch);
		if (again.flush < d.flush)
			return "forgotten when the entry failed";
		d = again;
	}
	/* It succeeds: nothing is owed any more. */
	lucid_tlb_commit(&tc[cpu], &tv, &d);
	if (!lucid_tlb_is_warm(&tc[cpu], &tv, cpu, epoch))
		return "not warm after the entry";
	again = lucid_tlb_decide(&tc[cpu], &tv, cpu, epoch);
	if (again.flush != LUCID_TLB_KEEP || again.cause != LUCID_TLB_WARM)
		return "not kept after the entry";
	return NULL;
}

static void test_table(void)
{
	int failed[NELEM(rows)] = { 0 }, seen[NELEM(rows)] = { 0 }, odd = 0;
	unsigned int s, i;

	for (s = 0; s < 32 * 4 * KINDS; s++) {
		enum kind kind = s / 128;
		const struct row *r = find_row(s & 1, s & 2, s & 4, s & 8, s & 16);
		const char *why;

		if (!r) {
			odd++;
			continue;
		}
		seen[r - rows]++;
		why = check_row(r, s, kind, s & 32, s & 64);
		if (why) {
			failed[r - rows]++;
			tap_diag("ran %d, same cpu %d, generation %d, epoch %d, owed %d; flush %s, all owed %d, fails %d: %s",
				 !!(s & 1), !!(s & 2), !!(s & 4), !!(s & 8), !!(s & 16),
				 kind_name[kind], !!(s & 32), !!(s & 64), why);
		}
	}
	tap_ok(!odd, "the table has one row for every situation");
	for (i = 0; i < NELEM(rows); i++) {
		static const char *const name[] = {
			"warm", "first use", "migration", "recycled", "epoch", "guest"
		};

		tap_ok(seen[i] && !failed[i], "row \"%s\" in %d situations",
		       name[rows[i].cause], seen[i]);
	}
}

/* ---- the model ---- */

#define MAX_CPUS	4
#define MAX_TAGS	16
#define MAX_VCPUS	24
#define VMS		3

/* Whose an entry is and what it was true for.  All that is filled in one stay. */
struct stamp {
	u64 vcpu;	/* never used twice; 0: no entries */
	u64 epoch;	/* of its VM's nested tables */
	u64 asked;	/* flushes the guest had been owed till then */
	int vm;
	u64 stay;	/* moves whenever the vCPU runs on another CPU than before */
};

static struct {
	int cpus, vcpus;
	u32 tags;
	enum kind kind;

	struct lucid_tlb_cpu tc[MAX_CPUS];
	struct stamp tlb[MAX_CPUS][MAX_TAGS];
	u64 root[MAX_CPUS][VMS];	/* epoch of what is kept by root; 0: nothing */
	u64 epoch[VMS];
	struct {
		struct lucid_tlb_vcpu tv;
		struct stamp now;
		int ran_on;
	} v[MAX_VCPUS];

	u64 next_vcpu;
	u64 entries, kept, violations;
	u64 flush_all[MAX_CPUS], new_tags[MAX_CPUS], bring_ups[MAX_CPUS], failures;
} m;

static void new_vcpu(int i)
{
	lucid_tlb_vcpu_init(&m.v[i].tv);
	m.v[i].now = (struct stamp) { .vcpu = m.next_vcpu++, .stay = 1 };
	m.v[i].ran_on = -1;
}

/* Whoever had the CPU before left entries behind under every tag. */
static void bring_up(int cpu)
{
	u32 t;

	for (t = 1; t < m.tags; t++)
		if (!m.tlb[cpu][t].vcpu)
			m.tlb[cpu][t] = (struct stamp) { .vcpu = ~0ull };
	for (t = 0; t < VMS; t++)
		m.root[cpu][t] = ~0ull;
	cpu_up(&m.tc[cpu], m.tags, m.kind);
	m.bring_ups[cpu]++;
}

static void violation(const char *what, int i, int cpu)
{
	const struct lucid_tlb_vcpu *tv = &m.v[i].tv;

	if (m.violations++ < 5)
		tap_diag("entry %llu: vcpu %d on cpu %d, tag %u: %s",
			 (unsigned long long)m.entries, i, cpu, tv->tag, what);
}

/* One KVM_RUN's entry, as run.c does it. */
static void run(int i, int cpu, bool fails)
{
	struct lucid_tlb_vcpu *tv = &m.v[i].tv;
	struct lucid_tlb_cpu *tc = &m.tc[cpu];
	struct stamp *now = &m.v[i].now, *tlb;
	u64 *epoch = &m.epoch[i % VMS];
	u64 generation = tc->generation;
	u32 next = tc->next, t;
	struct lucid_tlb_decision d = lucid_tlb_decide(tc, tv, cpu, *epoch);

	m.entries++;
	if (tc->generation != generation || tc->next != next)
		m.new_tags[cpu]++;
	if (tv->tag < 1 || tv->tag >= m.tags) {
		violation("a tag that is not ours", i, cpu);
		return;
	}
	if (fails) {
		m.failures++;
		return;		/* consistency checks: nothing was flushed */
	}

	switch (d.flush) {
	case LUCID_TLB_FLUSH_ALL:
		for (t = 0; t < m.tags; t++)
			m.tlb[cpu][t] = (struct stamp) { 0 };
		memset(m.root[cpu], 0, sizeof(m.root[cpu]));
		m.flush_all[cpu]++;
		break;
	case LUCID_TLB_FLUSH_TAG:
		if (m.kind == ALL_ONLY)
			violation("a flush that the CPU does not have", i, cpu);
		m.tlb[cpu][tv->tag] = (struct stamp) { 0 };
		break;
	case LUCID_TLB_FLUSH_ROOT:
		if (m.kind != BY_TAG_AND_ROOT)
			violation("a flush that the CPU does not have", i, cpu);
		m.root[cpu][i % VMS] = 0;
		/* The VM's combined entries, under whatever tag. */
		for (t = 0; t < m.tags; t++)
			if (m.tlb[cpu][t].vm == i % VMS)
				m.tlb[cpu][t] = (struct stamp) { 0 };
		break;
	case LUCID_TLB_KEEP:
		m.kept++;
		break;
	}
	if (m.v[i].ran_on != cpu)
		now->stay++;
	m.v[i].ran_on = cpu;
	now->epoch = *epoch;

	tlb = &m.tlb[cpu][tv->tag];
	if (tlb->vcpu) {
		if (tlb->vcpu != now->vcpu)
			violation("sees what another left", i, cpu);
		else if (tlb->epoch != now->epoch)
			violation("sees an older epoch", i, cpu);
		else if (tlb->asked != now->asked)
			violation("sees what was to be flushed for the guest", i, cpu);
		else if (tlb->stay != now->stay)
			violation("sees what it left before it ran elsewhere", i, cpu);
	}
	*tlb = *now;
	tlb->vm = i % VMS;
	if (m.kind == BY_TAG_AND_ROOT) {
		u64 *root = &m.root[cpu][i % VMS];

		if (*root && *root != *epoch)
			violation("sees an older epoch, by the root", i, cpu);
		*root = *epoch;
	}

	/* The tables may change while it runs: it is kicked out, and comes again. */
	if (!rnd_below(64))
		++*epoch;
	lucid_tlb_commit(tc, tv, &d);
}

static void step(void)
{
	int i = rnd_below(m.vcpus), cpu = m.v[i].ran_on;
	u32 dice = rnd_below(1000);

	if (cpu < 0 || !rnd_below(8))
		cpu = rnd_below(m.cpus);
	if (dice < 10) {
		m.epoch[rnd_below(VMS)]++;
	} else if (dice < 60) {
		m.v[i].tv.flush_guest = true;
		m.v[i].now.asked++;
	} else if (dice < 62) {
		bring_up(cpu);
	} else if (dice < 67) {
		new_vcpu(i);
	} else {
		run(i, cpu, dice < 110);
	}
}

static void test_model(int cpus, u32 tags, int vcpus, enum kind kind, u64 steps)
{
	u64 too_many = 0;
	int i;

	memset(&m, 0, sizeof(m));
	m.cpus = cpus;
	m.tags = tags;
	m.vcpus = vcpus;
	m.kind = kind;
	m.next_vcpu = 1;
	for (i = 0; i < cpus; i++)
		bring_up(i);
	for (i = 0; i < VMS; i++)
		m.epoch[i] = 1;
	for (i = 0; i < vcpus; i++)
		new_vcpu(i);
	while (steps--)
		step();

	tap_ok(!m.violations && m.kept,
	       "%d CPUs, %u tags, %d vCPUs, flush %s: %llu entries, nothing stale is seen",
	       cpus, tags, vcpus, kind_name[kind], (unsigned long long)m.entries);

	/* A flush of all serves as many new tags as there are, or a bring-up, or
	 * comes again after one that failed. */
	for (i = 0; i < cpus; i++)
		if (m.flush_all[i] > m.new_tags[i] / (tags - 1) + m.bring_ups[i] + 1)
			too_many++;
	tap_ok(!too_many, "%d CPUs, %u tags, %d vCPUs, flush %s: no flush of all too many",
	       cpus, tags, vcpus, kind_name[kind]);
}

/* Warm stays warm: with enough tags nobody flushes again, in any order of turns. */
static void test_no_needless_flush(void)
{
	struct lucid_tlb_vcpu tv[TAGS - 1];
	struct lucid_tlb_cpu tc = { 0 };
	unsigned int i, flushes = 0;

	cpu_up(&tc, TAGS, ALL_ONLY);
	for (i = 0; i < NELEM(tv); i++)
		lucid_tlb_vcpu_init(&tv[i]);
	for (i = 0; i < 10000; i++) {
		struct lucid_tlb_vcpu *v = &tv[i < NELEM(tv) ? i : rnd_below(NELEM(tv))];
		struct lucid_tlb_decision d = lucid_tlb_decide(&tc, v, 0, 3);

		flushes += d.flush != LUCID_TLB_KEEP;
		lucid_tlb_commit(&tc, v, &d);
	}
	tap_ok(flushes == 1, "as many vCPUs as tags: one flush, at bring-up (%u)", flushes);
}

int main(void)
{
	static const u32 tags[] = { 2, 3, 16 };
	unsigned int i, kind;

	rnd_seed(2);
	test_table();
	test_no_needless_flush();
	for (i = 0; i < NELEM(tags); i++) {
		for (kind = 0; kind < KINDS; kind++) {
			test_model(1, tags[i], 5, kind, 500000);
			test_model(MAX_CPUS, tags[i], MAX_VCPUS, kind, 1000000);
		}
	}
	return tap_done();
}

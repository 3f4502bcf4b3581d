// SPDX-License-Identifier: GPL-2.0
/*
 * --stats: exits by reason, with counts and mean cost, from two views.
 *
 * The tool's: every return of KVM_RUN, and the time until the next call.
 * The device's, where it has counters (LUCID_CAP_STATS): every exit of the
 * hardware's, most of which never reach the tool.
 */
#include <errno.h>
#include <json-c/json.h>
#include <linux/lucid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lucid.h"
#include "machine.h"
#include "stats.h"

#define NAME(reason, text)	[KVM_EXIT_##reason] = text
static const char *const reason_names[] = {
	NAME(UNKNOWN, "unknown"), NAME(EXCEPTION, "exception"),
	NAME(IO, "io"), NAME(HYPERCALL, "hypercall"), NAME(DEBUG, "debug"),
	NAME(HLT, "hlt"), NAME(MMIO, "mmio"),
	NAME(IRQ_WINDOW_OPEN, "irq_window_open"), NAME(SHUTDOWN, "shutdown"),
	NAME(FAIL_ENTRY, "fail_entry"), NAME(INTR, "intr"),
	NAME(SET_TPR, "set_tpr"), NAME(TPR_ACCESS, "tpr_access"),
	NAME(NMI, "nmi"), NAME(INTERNAL_ERROR, "internal_error"),
	NAME(SYSTEM_EVENT, "system_event"), NAME(IOAPIC_EOI, "ioapic_eoi"),
	NAME(HYPERV, "hyperv"), NAME(X86_RDMSR, "x86_rdmsr"),
	NAME(X86_WRMSR, "x86_wrmsr"), NAME(X86_BUS_LOCK, "x86_bus_lock"),
};

const char *exit_reason_name(uint32_t reason)
{
	static __thread char text[24];

	if (reason < ARRAY_SIZE(reason_names) && reason_names[reason])
		return reason_names[reason];
	snprintf(text, sizeof(text), "reason %u", reason);
	return text;
}

void stats_count(struct exit_stats *stats, uint32_t reason, uint64_t ns)
{
	if (reason >= STATS_REASONS)
		reason = STATS_REASONS - 1;
	stats->count[reason]++;
	stats->ns[reason] += ns;
}

void stats_start(struct vcpu *vcpu)
{
	uint32_t flags = LUCID_STATS_TIMED;

	if (vm_capability(vcpu->vm, LUCID_CAP_STATS) > 0 &&
	    ioctl(vcpu->fd, LUCID_SET_STATS, &flags) < 0)
		warn("%s: LUCID_SET_STATS: %s", vcpu->vm->dev,
		     strerror(errno));
}

/* The device's counters of one vCPU; NULL if it has none.  The caller frees. */
static struct lucid_stats *device_stats(const struct vcpu *vcpu)
{
	struct lucid_stats *s = NULL;
	uint32_t room = 64;

	if (vm_capability(vcpu->vm, LUCID_CAP_STATS) <= 0)
		return NULL;
	for (;;) {
		free(s);
		s = xcalloc(1, sizeof(*s) + room * sizeof(s->exits[0]));
		s->nr = room;
		if (!ioctl(vcpu->fd, LUCID_GET_STATS, s)) {
			/* exits[] is as long as we made it, whatever it says */
			if (s->nr > room)
				s->nr = room;
			return s;
		}
		if (errno != E2BIG || s->nr <= room || s->nr > 65536)
			break;
		room = s->nr;
	}
	warn("%s: LUCID_GET_STATS: %s", vcpu->vm->dev, strerror(errno));
	free(s);
	return NULL;
}

/* The device's counters that are not exits: one table for both outputs. */
static const struct {
	const char *name;
	size_t offset;
} device_counters[] = {
#define COUNTER(field)	{ #field, offsetof(struct lucid_stats, field) }
	COUNTER(entries), COUNTER(userspace_exits), COUNTER(nested_faults),
	COUNTER(tag_first_use), COUNTER(tag_migration), COUNTER(tag_recycled),
	COUNTER(tag_epoch), COUNTER(tag_guest),
#undef COUNTER
};

static uint64_t counter(const struct lucid_stats *s, unsigned int i)
{
	return *(const uint64_t *)((const char *)s + device_counters[i].offset);
}

static uint64_t mean(uint64_t sum, uint64_t count)
{
	return count ? sum / count : 0;
}

static void add(struct json_object *to, const char *name, uint64_t value)
{
	json_object_object_add(to, name, json_object_new_uint64(value));
}

static struct json_object *cpu_json(const struct cpu *cpu)
{
	struct json_object *o = json_object_new_object();
	struct json_object *exits = json_object_new_array();
	struct lucid_stats *s = device_stats(&cpu->vcpu);
	struct json_object *e, *dev;

	add(o, "cpu", cpu->vcpu.index);
	add(o, "kvm_run_ns", cpu->stats.run_ns);
	for (uint32_t i = 0; i < STATS_REASONS; i++) {
		if (!cpu->stats.count[i])
			continue;
		e = json_object_new_object();
		json_object_object_add(e, "reason",
			json_object_new_string(exit_reason_name(i)));
		add(e, "code", i);
		add(e, "count", cpu->stats.count[i]);
		add(e, "mean_ns", mean(cpu->stats.ns[i], cpu->stats.count[i]));
		json_object_array_add(exits, e);
	}
	json_object_object_add(o, "exits", exits);
	if (!s)
		return o;
	dev = json_object_new_object();
	for (unsigned int i = 0; i < ARRAY_SIZE(device_counters); i++)
		add(dev, device_counters[i].name, counter(s, i));
	exits = json_object_new_array();
	for (uint32_t i = 0; i < s->nr; i++) {
		const struct lucid_exit_stat *x = &s->exits[i];

		if (!x->count)
			continue;
		e = json_object_new_object();
		json_object_object_add(e, "reason",
			json_object_new_string_len(x->name,
				strnlen(x->name, sizeof(x->name))));
		add(e, "code", x->code);
		add(e, "count", x->count);
		if (s->flags & LUCID_STATS_TIMED)
			add(e, "mean_cycles", mean(x->cycles, x->count));
		json_object_array_add(exits, e);
	}
	json_object_object_add(dev, "exits", exits);
	json_object_object_add(o, "device", dev);
	free(s);
	return o;
}

static void print_json(const struct machine *m, FILE *to)
{
	struct json_object *o = json_object_new_object();
	struct json_object *cpus = json_object_new_array();

	json_object_object_add(o, "device",
			       json_object_new_string(m->vm.dev));
	add(o, "memory", m->vm.mem_size);
	json_object_object_add(o, "status", json_object_new_int(m->status));
	for (unsigned int i = 0; i < m->nr_cpus; i++)
		json_object_array_add(cpus, cpu_json(&m->cpus[i]));
	json_object_object_add(o, "cpus", cpus);
	fprintf(to, "%s\n",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int by_count(const void *a, const void *b)
{
	const struct lucid_exit_stat *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static void print_device(const struct cpu *cpu, FILE *to)
{
	struct lucid_stats *s = device_stats(&cpu->vcpu);

	if (!s)
		return;
	qsort(s->exits, s->nr, sizeof(s->exits[0]), by_count);
	fprintf(to, "  %-24s %12s %14s\n", "exits on the CPU", "count",
		s->flags & LUCID_STATS_TIMED ? "mean cycles" : "");
	for (uint32_t i = 0; i < s->nr && s->exits[i].count; i++) {
		const struct lucid_exit_stat *x = &s->exits[i];

		fprintf(to, "    %-22.24s %12llu", x->name,
			(unsigned long long)x->count);
		if (s->flags & LUCID_STATS_TIMED)
			fprintf(to, " %14llu", (unsigned long long)
				mean(x->cycles, x->count));
		fputc('\n', to);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(device_counters); i++)
		if (counter(s, i))
			fprintf(to, "  %-24s %12llu\n", device_counters[i].name,
				(unsigned long long)counter(s, i));
	free(s);
}

static void print_cpu(const struct cpu *cpu, FILE *to)
{
	const struct exit_stats *s = &cpu->stats;

	fprintf(to, "  %-24s %12s %14s\n", "exits to the tool", "count",
		"mean ns");
	for (uint32_t i = 0; i < STATS_REASONS; i++)
		if (s->count[i])
			fprintf(to, "    %-22s %12llu %14llu\n",
				exit_reason_name(i),
				(unsigned long long)s->count[i],
				(unsigned long long)mean(s->ns[i],
							 s->count[i]));
	fprintf(to, "  %-24s %12s %11.3f ms\n", "time in KVM_RUN", "",
		s->run_ns / 1e6);
	print_device(cpu, to);
}

void stats_print(const struct machine *m, FILE *to, bool json)
{
	if (json) {
		print_json(m, to);
		return;
	}
	for (unsigned int i = 0; i < m->nr_cpus; i++) {
		fprintf(to, "vCPU %u on %s:\n", i, m->vm.dev);
		print_cpu(&m->cpus[i], to);
	}
}

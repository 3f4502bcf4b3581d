// SPDX-License-Identifier: GPL-2.0
/*
 * lucid info: what the CPU has, what the module offers, who holds the
 * virtualization hardware, and what to do about it.
 *
 * Everything is first collected into one JSON object; --json prints that, and
 * the text is made from the same object.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "info.h"
#include "lucid.h"

const char info_help[] =
"usage: lucid info [--json] [--dev PATH]\n"
"\n"
"Tells what the CPU has (SVM or VMX and its features), whether the firmware\n"
"locked it, what the module offers, who holds the virtualization hardware,\n"
"what each CPU bug means here, and what to do next.\n"
"\n"
"  --json        the same as JSON\n"
"  --dev PATH    the device (default $LUCID_DEV, else " DEFAULT_DEVICE ")\n"
"  --help, -h    this text\n";

#define MSR_VM_CR		0xc0010114
#define VM_CR_SVMDIS		(1u << 4)
#define MSR_FEATURE_CONTROL	0x3a
#define FEATURE_LOCKED		(1u << 0)
#define FEATURE_VMX		(1u << 2)	/* outside SMX */

/* SVM's features: CPUID 0x8000000a EDX. */
static const struct {
	const char *name;
	unsigned int bit;
	const char *meaning;
} svm_features[] = {
	{ "npt", 0, "nested page tables (Lucid needs them)" },
	{ "lbrv", 1, "last-branch records per guest" },
	{ "nrips", 3, "saves the next instruction's address" },
	{ "tscscale", 4, "scales the guest's TSC" },
	{ "vmcbclean", 5, "caches the VMCB's clean parts" },
	{ "flushbyasid", 6, "flushes one guest's TLB entries" },
	{ "decodeassists", 7, "hands over decoded instructions" },
	{ "pausefilter", 10, "counts PAUSEs in spin loops" },
	{ "avic", 13, "virtual interrupt controller" },
	{ "vmsave", 15, "virtual VMLOAD and VMSAVE" },
	{ "vgif", 16, "virtual global interrupt flag" },
	{ "vspecctrl", 20, "virtual SPEC_CTRL" },
	{ "vnmi", 25, "virtual NMIs" },
};

void info_add(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

const char *info_text(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) && v ?
	       json_object_get_string(v) : "";
}

bool info_is(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) &&
	       json_object_get_boolean(v);
}

bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool good = f && fgets(line, size, f);

	if (f)
		fclose(f);
	if (good)
		line[strcspn(line, "\n")] = '\0';
	return good;
}

static bool read_msr(uint32_t msr, uint64_t *value)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && pread(fd, value, sizeof(*value), msr) ==
					 sizeof(*value);

	if (fd >= 0)
		close(fd);
	return good;
}

/* The value of @key in /proc/cpuinfo's first CPU. */
static bool cpuinfo(const char *key, char *value, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	size_t n = strlen(key);
	char line[8192];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, n) || !colon ||
		    (line[n] != '\t' && line[n] != ' ' && line[n] != ':'))
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(value, size, "%s", colon[1] ? colon + 2 : "");
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

static void collect_svm(struct json_object *cpu)
{
	struct json_object *features = json_object_new_array();
	unsigned int a, b = 0, c, d = 0;
	uint64_t vm_cr;

	__get_cpuid(0x8000000a, &a, &b, &c, &d);
	for (size_t i = 0; i < ARRAY_SIZE(svm_features); i++) {
		struct json_object *f = json_object_new_object();

		info_add(f, "name", svm_features[i].name);
		info_add(f, "meaning", svm_features[i].meaning);
		json_object_object_add(f, "present",
			json_object_new_boolean(d >> svm_features[i].bit & 1));
		json_object_array_add(features, f);
	}
	json_object_object_add(cpu, "features", features);
	json_object_object_add(cpu, "asids", json_object_new_int64(b));
	if (!read_msr(MSR_VM_CR, &vm_cr))
		info_add(cpu, "firmware", "unknown");
	else
		info_add(cpu, "firmware", vm_cr & VM_CR_SVMDIS ?
			 "disabled" : "enabled");
}

static void collect_vmx(struct json_object *cpu)
{
	struct json_object *features = json_object_new_array();
	char line[4096] = "", *save = NULL;
	uint64_t control;

	cpuinfo("vmx flags", line, sizeof(line));
	for (char *word = strtok_r(line, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		struct json_object *f = json_object_new_object();

		info_add(f, "name", word);
		json_object_object_add(f, "present",
				       json_object_new_boolean(true));
		json_object_array_add(features, f);
	}
	json_object_object_add(cpu, "features", features);
	if (!read_msr(MSR_FEATURE_CONTROL, &control))
		info_add(cpu, "firmware", "unknown");
	else
		info_add(cpu, "firmware", (control & FEATURE_LOCKED) &&
			 !(control & FEATURE_VMX) ? "disabled" : "enabled");
}

static struct json_object *collect_cpu(void)
{
	struct json_object *cpu = json_object_new_object();
	unsigned int a, b, c, d, r[4] = { 0 };
	char text[256];
	bool guest;

	__cpuid(0, a, r[0], r[2], r[1]);
	info_add(cpu, "vendor", (const char *)r);
	info_add(cpu, "model", cpuinfo("model name", text, sizeof(text)) ?
		 text : "unknown");
	__cpuid(1, a, b, c, d);
	guest = c >> 31;
	json_object_object_add(cpu, "guest", json_object_new_boolean(guest));
	if (guest) {
		unsigned int h[4] = { 0 };

		__cpuid(0x40000000, a, h[0], h[1], h[2]);
		info_add(cpu, "hypervisor", (const char *)h);
	}
	if (c >> 5 & 1) {
		info_add(cpu, "virtualization", "VMX");
		collect_vmx(cpu);
	} else if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c >> 2 & 1)) {
		info_add(cpu, "virtualization", "SVM");
		collect_svm(cpu);
	} else {
		info_add(cpu, "virtualization", "none");
	}
	return cpu;
}

static void print_wrapped(const char *indent, size_t *column, const char *word)
{
	if (*column + strlen(word) > 78) {
		printf("\n%s", indent);
		*column = strlen(indent);
	}
	*column += printf(" %s", word);
}

static void print_features(struct json_object *cpu, bool present)
{
	struct json_object *features;
	const char *title = present ? "  has     " : "  has not ";
	size_t column = strlen(title);
	bool any = false;

	json_object_object_get_ex(cpu, "features", &features);
	for (size_t i = 0; i < json_object_array_length(features); i++) {
		struct json_object *f = json_object_array_get_idx(features, i);

		if (info_is(f, "present") != present)
			continue;
		if (!any)
			printf("%s", title);
		any = true;
		print_wrapped("          ", &column, info_text(f, "name"));
	}
	if (any)
		printf("\n");
}

static void print_cpu(struct json_object *cpu)
{
	const char *virt = info_text(cpu, "virtualization");
	struct json_object *v;

	printf("CPU\n  %s (%s)\n", info_text(cpu, "model"),
	       info_text(cpu, "vendor"));
	if (info_is(cpu, "guest"))
		printf("  this machine is itself a guest, of \"%s\"\n",
		       info_text(cpu, "hypervisor"));
	if (!strcmp(virt, "none")) {
		printf("  no hardware virtualization: neither SVM nor VMX\n");
		return;
	}
	printf("  hardware virtualization: %s", virt);
	if (json_object_object_get_ex(cpu, "asids", &v))
		printf(" with %d ASIDs", json_object_get_int(v));
	printf("; the firmware %s\n",
	       !strcmp(info_text(cpu, "firmware"), "enabled") ? "allows it" :
	       !strcmp(info_text(cpu, "firmware"), "disabled") ?
	       "switched it off" :
	       "lock cannot be read (needs root and the msr module)");
	print_features(cpu, true);
	print_features(cpu, false);
}

static void print_device(struct json_object *device)
{
	struct json_object *caps, *v;
	size_t column = 4;

	printf("\nDevice %s\n", info_text(device, "path"));
	if (!info_is(device, "usable")) {
		printf("  not usable: %s\n", info_text(device, "error"));
		return;
	}
	json_object_object_get_ex(device, "api_version", &v);
	printf("  speaks KVM's ABI, version %d; can do:\n   ",
	       json_object_get_int(v));
	json_object_object_get_ex(device, "capabilities", &caps);
	for (size_t i = 0; i < json_object_array_length(caps); i++) {
		struct json_object *c = json_object_array_get_idx(caps, i);
		char word[80];
		int value;

		json_object_object_get_ex(c, "value", &v);
		value = json_object_get_int(v);
		if (value == 1)
			snprintf(word, sizeof(word), "%s",
				 info_text(c, "name"));
		else
			snprintf(word, sizeof(word), "%s=%d",
				 info_text(c, "name"), value);
		print_wrapped("   ", &column, word);
	}
	printf("\n");
}

static void print_list(struct json_object *list, const char *title,
		       const char *none)
{
	printf("\n%s\n", title);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		printf("  %s\n", json_object_get_string(
			       json_object_array_get_idx(list, i)));
	if (!json_object_array_length(list))
		printf("  %s\n", none);
}

static void print_holders(struct json_object *holders)
{
	printf("\nWho uses the virtualization hardware\n");
	for (size_t i = 0; i < json_object_array_length(holders); i++) {
		struct json_object *h = json_object_array_get_idx(holders, i);

		printf("  %-10s %s\n", info_text(h, "module"),
		       info_text(h, "state"));
	}
	if (!json_object_array_length(holders))
		printf("  no module that is known to use it is loaded\n");
}

static void print_bugs(struct json_object *bugs)
{
	const size_t n = json_object_array_length(bugs);
	size_t column = strlen("  not here:"), absent = 0;

	printf("\nCPU bugs: what the kernel says, and what it means under Lucid\n");
	for (size_t i = 0; i < n; i++) {
		struct json_object *b = json_object_array_get_idx(bugs, i);

		/* one that is not here needs no words */
		if (!*info_text(b, "lucid")) {
			absent++;
			continue;
		}
		printf("  %s: %s\n      Lucid: %s\n", info_text(b, "bug"),
		       info_text(b, "kernel"), info_text(b, "lucid"));
	}
	if (absent)
		printf("  not here:");
	for (size_t i = 0; absent && i < n; i++) {
		struct json_object *b = json_object_array_get_idx(bugs, i);

		if (!*info_text(b, "lucid"))
			print_wrapped("   ", &column, info_text(b, "bug"));
	}
	printf("%s", absent ? "\n" : n ? "" : "  the kernel does not tell\n");
}

static void print_text(struct json_object *all)
{
	struct json_object *v;

	json_object_object_get_ex(all, "cpu", &v);
	print_cpu(v);
	json_object_object_get_ex(all, "device", &v);
	print_device(v);
	json_object_object_get_ex(all, "holders", &v);
	print_holders(v);
	json_object_object_get_ex(all, "bugs", &v);
	print_bugs(v);
	json_object_object_get_ex(all, "advice", &v);
	print_list(v, "What to do", "nothing: 'lucid run IMAGE' is ready");
}

int cmd_info(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "dev", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct json_object *all, *cpu, *device, *holders;
	const char *dev = NULL;
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'd':
			dev = optarg;
			break;
		case 'h':
			fputs(info_help, stdout);
			return STATUS_OK;
		case ':':
			die("option '%s' needs an argument", argv[optind - 1]);
		default:
			die("no option '%s'; 'lucid info --help' lists them",
			    argv[optind - 1]);
		}
	}
	if (optind < argc)
		die("'lucid info' takes no argument, and '%s' is one",
		    argv[optind]);

	all = json_object_new_object();
	cpu = collect_cpu();
	device = collect_device(device_path(dev));
	holders = collect_holders();
	json_object_object_add(all, "version",
			       json_object_new_string(LUCID_VERSION));
	json_object_object_add(all, "cpu", cpu);
	json_object_object_add(all, "device", device);
	json_object_object_add(all, "holders", holders);
	json_object_object_add(all, "bugs", collect_bugs());
	json_object_object_add(all, "advice",
			       collect_advice(cpu, device, holders));
	if (json)
		puts(json_object_to_json_string_ext(all,
			JSON_C_TO_STRING_PRETTY |
			JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_text(all);
	json_object_put(all);
	if (fflush(stdout))
		die("standard output: %s", strerror(errno));
	return STATUS_OK;
}

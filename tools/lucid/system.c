// SPDX-License-Identifier: GPL-2.0
/*
 * lucid info, the system around the CPU: the device and its capabilities, the
 * modules that use the virtualization hardware, the CPU's bugs, the advice.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/lucid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "info.h"
#include "lucid.h"

#define CAP(name)	{ #name, KVM_CAP_##name }
static const struct {
	const char *name;
	long cap;
} capabilities[] = {
	CAP(USER_MEMORY), CAP(NR_VCPUS), CAP(MAX_VCPUS), CAP(NR_MEMSLOTS),
	CAP(EXT_CPUID), CAP(SYNC_REGS), CAP(IMMEDIATE_EXIT), CAP(SYNC_MMU),
	CAP(DESTROY_MEMORY_REGION_WORKS), CAP(JOIN_MEMORY_REGIONS_WORKS),
	CAP(READONLY_MEM), CAP(COALESCED_MMIO), CAP(SET_TSS_ADDR),
	CAP(SET_IDENTITY_MAP_ADDR), CAP(MP_STATE), CAP(VCPU_EVENTS),
	CAP(USER_NMI), CAP(DEBUGREGS), CAP(XSAVE), CAP(XSAVE2), CAP(XCRS),
	CAP(SREGS2), CAP(SET_GUEST_DEBUG), CAP(X86_ROBUST_SINGLESTEP),
	CAP(INTERNAL_ERROR_DATA), CAP(EXIT_ON_EMULATION_FAILURE),
	CAP(TSC_CONTROL), CAP(GET_TSC_KHZ), CAP(ADJUST_CLOCK), CAP(CLOCKSOURCE),
	CAP(KVMCLOCK_CTRL), CAP(MCE), CAP(X86_USER_SPACE_MSR),
	CAP(X86_MSR_FILTER), CAP(IRQCHIP), CAP(SPLIT_IRQCHIP), CAP(IRQ_ROUTING),
	CAP(IRQ_INJECT_STATUS), CAP(IRQFD), CAP(IOEVENTFD), CAP(SIGNAL_MSI),
	CAP(HLT), CAP(PIT2), CAP(PIT_STATE2), CAP(TSC_DEADLINE_TIMER),
	CAP(X86_SMM), CAP(ENABLE_CAP), CAP(ENABLE_CAP_VM),
	CAP(MANUAL_DIRTY_LOG_PROTECT2), CAP(DIRTY_LOG_RING), CAP(STEAL_TIME),
	CAP(BINARY_STATS_FD), CAP(NESTED_STATE), CAP(HYPERV),
	{ "LUCID_STATS", LUCID_CAP_STATS },
	{ "LUCID_BENCH_FLOOR", LUCID_CAP_BENCH_FLOOR },
};

/*
 * Modules that use SVM or VMX, and how they can be made to let go.  "kvm"
 * itself does not: its vendor half does.
 */
static const struct {
	const char *module;
	bool other;		/* stands in Lucid's way when it is in use */
	const char *idle, *busy, *cure;
} users[] = {
	{ "lucid", false, "loaded, no VM", "loaded, in use", NULL },
	{ "kvm_amd", true,
	  "loaded, no VM; holds SVM while it has one (kernels from 6.12 on: always)",
	  "loaded, in use: holds SVM",
	  "KVM holds SVM: end its VMs, then 'modprobe -r kvm_amd'" },
	{ "kvm_intel", true,
	  "loaded, no VM; holds VMX while it has one (kernels from 6.12 on: always)",
	  "loaded, in use: holds VMX",
	  "KVM holds VMX: end its VMs, then 'modprobe -r kvm_intel'" },
	{ "vboxdrv", true, "loaded, no VM; holds the hardware while it has one",
	  "loaded, in use: holds the hardware",
	  "VirtualBox is in use: end its VMs" },
	{ "vmmon", true, "loaded, no VM; holds the hardware while it has one",
	  "loaded, in use: holds the hardware",
	  "VMware is in use: end its VMs" },
};

/* What each of the kernel's "vulnerabilities" means for guests of Lucid. */
static const struct {
	const char *bug, *lucid;
} bugs[] = {
	{ "gather_data_sampling", "cured by microcode, for guests as well" },
	{ "ghostwrite", "not an x86 bug" },
	{ "indirect_target_selection",
	  "the module is built with the kernel's own thunks" },
	{ "itlb_multihit", "Intel only; there is no VMX in Lucid yet" },
	{ "l1tf", "Intel only; there is no VMX in Lucid yet" },
	{ "mds", "Intel only; there is no VMX in Lucid yet" },
	{ "meltdown", "a guest's kernel protects itself from its programs" },
	{ "mmio_stale_data", "Intel only; there is no VMX in Lucid yet" },
	{ "old_microcode", "update the microcode: guests profit as well" },
	{ "reg_file_data_sampling", "Intel only; there is no VMX in Lucid yet" },
	{ "retbleed", "the kernel's own untraining, before the first RET after an exit" },
	{ "spec_rstack_overflow", "the kernel's own untraining (or IBPB), before the first RET after an exit" },
	{ "spec_store_bypass", "the host's SPEC_CTRL stays in force; a guest has none of its own" },
	{ "spectre_v1", "indices that a guest or its owner controls are masked" },
	{ "spectre_v2", "the return stack is filled after each exit; the host's SPEC_CTRL stays in force" },
	{ "srbds", "cured by microcode, for guests as well" },
	{ "tsa", "buffers are cleared (VERW) before entry, where the kernel asks for it" },
	{ "tsx_async_abort", "Intel only; there is no VMX in Lucid yet" },
	{ "vmscape", "depends on the kernel's own return to userspace" },
};

static void collect_capabilities(struct json_object *device, int fd)
{
	struct json_object *caps = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		int value = ioctl(fd, KVM_CHECK_EXTENSION, capabilities[i].cap);
		struct json_object *c;

		if (value <= 0)
			continue;
		c = json_object_new_object();
		info_add(c, "name", capabilities[i].name);
		json_object_object_add(c, "value", json_object_new_int(value));
		json_object_array_add(caps, c);
	}
	json_object_object_add(device, "capabilities", caps);
}

struct json_object *collect_device(const char *path)
{
	struct json_object *device = json_object_new_object();
	int fd = open(path, O_RDWR | O_CLOEXEC), version = -1;
	char text[256];
	struct stat st;

	info_add(device, "path", path);
	if (fd >= 0)
		version = ioctl(fd, KVM_GET_API_VERSION, 0);
	json_object_object_add(device, "usable",
		json_object_new_boolean(version == KVM_API_VERSION));
	if (fd < 0) {
		info_add(device, "error", strerror(errno));
		json_object_object_add(device, "errno",
				       json_object_new_int(errno));
		if (errno == EACCES && !stat(path, &st)) {
			struct group *g = getgrgid(st.st_gid);

			info_add(device, "group", g ? g->gr_name : "its group");
		}
		return device;
	}
	if (version != KVM_API_VERSION) {
		snprintf(text, sizeof(text), version < 0 ?
			 "it does not speak KVM's ABI" :
			 "it speaks version %d of KVM's ABI, not 12", version);
		info_add(device, "error", text);
	} else {
		json_object_object_add(device, "api_version",
				       json_object_new_int(version));
		collect_capabilities(device, fd);
	}
	close(fd);
	return device;
}

/* A loaded module's use count; -1: not loaded; -2: built into the kernel. */
static int module_users(const char *module)
{
	FILE *f = fopen("/proc/modules", "re");
	char line[1024], name[64], path[128];
	struct stat st;
	int count = -1, n;

	while (f && count < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %*u %d", name, &n) == 2 &&
		    !strcmp(name, module))
			count = n;
	if (f)
		fclose(f);
	if (count >= 0)
		return count;
	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !stat(path, &st) ? -2 : -1;
}

struct json_object *collect_holders(void)
{
	struct json_object *holders = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		int n = module_users(users[i].module);
		struct json_object *h;

		if (n == -1)
			continue;
		h = json_object_new_object();
		info_add(h, "module", users[i].module);
		if (n >= 0)
			json_object_object_add(h, "users",
					       json_object_new_int(n));
		info_add(h, "state", n == -2 ? "built into the kernel" :
			 n ? users[i].busy : users[i].idle);
		if (n > 0 && users[i].other)
			info_add(h, "cure", users[i].cure);
		json_object_array_add(holders, h);
	}
	return holders;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static const char *bug_words(const char *bug)
{
	for (size_t i = 0; i < ARRAY_SIZE(bugs); i++)
		if (!strcmp(bugs[i].bug, bug))
			return bugs[i].lucid;
	return "this version of the tool does not know this bug";
}

struct json_object *collect_bugs(void)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	struct json_object *list = json_object_new_array();
	struct dirent **names;
	int n = scandir(dir, &names, not_hidden, alphasort);

	for (int i = 0; i < n; i++) {
		struct json_object *b = json_object_new_object();
		char path[512], line[512];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		info_add(b, "bug", names[i]->d_name);
		info_add(b, "kernel", read_line(path, line, sizeof(line)) ?
			 line : "unknown");
		if (strcmp(info_text(b, "kernel"), "Not affected"))
			info_add(b, "lucid", bug_words(names[i]->d_name));
		json_object_array_add(list, b);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return list;
}

static void advise(struct json_object *list, const char *text)
{
	json_object_array_add(list, json_object_new_string(text));
}

static void advise_hardware(struct json_object *list, struct json_object *cpu)
{
	const char *virt = info_text(cpu, "virtualization");

	if (!strcmp(virt, "none") && info_is(cpu, "guest"))
		advise(list, "this machine's hypervisor does not pass SVM or VMX on: switch nested virtualization on there, or use the lab ('make lab')");
	else if (!strcmp(virt, "none"))
		advise(list, "look for SVM or VT-x in the firmware's setup; if the CPU has none, use the lab ('make lab')");
	else if (!strcmp(info_text(cpu, "firmware"), "disabled"))
		advise(list, "switch virtualization (SVM, VT-x) on in the firmware's setup");
	if (!strcmp(virt, "VMX"))
		advise(list, "Lucid has no VMX backend yet: use the lab ('make lab'), or an AMD machine");
}

static void advise_device(struct json_object *list, struct json_object *cpu,
			  struct json_object *device)
{
	struct json_object *v;
	char text[512];
	int err = 0;

	if (info_is(device, "usable"))
		return;
	if (json_object_object_get_ex(device, "errno", &v))
		err = json_object_get_int(v);
	if (err == EACCES) {
		snprintf(text, sizeof(text),
			 "to open %s, be root or a member of the group '%s' (usermod -aG %s NAME, then log in again)",
			 info_text(device, "path"), info_text(device, "group"),
			 info_text(device, "group"));
		advise(list, text);
	} else if (access("/proc/modules", F_OK)) {
		advise(list, "this kernel loads no modules, so not Lucid either: use the lab ('make lab')");
	} else if (err && module_users("lucid") == -1 &&
		   !strcmp(info_text(cpu, "virtualization"), "SVM")) {
		advise(list, "load the module: 'insmod lucid.ko' (as root, after 'make')");
	} else if (err && module_users("lucid") >= 0) {
		advise(list, "lucid.ko is loaded, and its device is not there: is /dev a devtmpfs?");
	}
}

struct json_object *collect_advice(struct json_object *cpu,
				   struct json_object *device,
				   struct json_object *holders)
{
	struct json_object *list = json_object_new_array();

	advise_hardware(list, cpu);
	advise_device(list, cpu, device);
	for (size_t i = 0; i < json_object_array_length(holders); i++) {
		const char *cure = info_text(
			json_object_array_get_idx(holders, i), "cure");

		if (*cure)
			advise(list, cure);
	}
	return list;
}

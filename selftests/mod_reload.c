// SPDX-License-Identifier: GPL-2.0
/*
 * lucid.ko comes and goes: two hundred times without a leak, never while it is
 * in use; it lives beside KVM, and the two refuse each other politely.
 *
 * The module is $LUCID_KO (default /lib/lucid/lucid.ko); it is loaded again at
 * the end with the parameters it had.  Not for /dev/kvm, except as the other
 * party.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "abi_state.h"

static const char *ko(void)
{
	const char *p = getenv("LUCID_KO");

	return p ? p : "/lib/lucid/lucid.ko";
}

/* What the machine needs besides: found before the first unload. */
static const char *machine_args = "";

/* 0 or -errno */
static int load(const char *args)
{
	int fd = open(ko(), O_RDONLY | O_CLOEXEC), r;
	char all[128];

	if (fd < 0)
		return -errno;
	snprintf(all, sizeof(all), "%s%s", machine_args, args);
	r = syscall(SYS_finit_module, fd, all, 0) ? -errno : 0;
	close(fd);
	return r;
}

static int unload(const char *name)
{
	int i, r = 0;

	/* a process that has just ended may still be giving its VM back */
	for (i = 0; i < 50; i++) {
		r = syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
		if (r != -EAGAIN)
			break;
		usleep(20000);
	}
	return r;
}

static bool loaded(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

static long lines_with(const char *file, const char *what)
{
	FILE *f = fopen(file, "r");
	char line[512];
	long n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += !!strstr(line, what);
	if (f)
		fclose(f);
	return n;
}

/* Is it in the kernel's log since @mark was written there? */
static bool logged(const char *mark, const char *what)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	bool on = false, found = false;
	char line[2048];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		line[n] = 0;
		if (strstr(line, mark))
			on = true;
		else if (on && strstr(line, what))
			found = true;
	}
	close(fd);
	return found;
}

static void mark(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	if (write(fd, text, strlen(text)) < 0)
		perror("/dev/kmsg");
	close(fd);
}

/* ---- Lives, each in a process of its own ---------------------------------------- */

static void twice(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
	GUEST_SYNC(1);
}

/* 0 if a guest ran on @dev */
static int run_guest(const char *dev)
{
	int st = 0;
	pid_t pid = fork();

	if (!pid) {
		struct vcpu *c;

		setenv("LUCID_DEV", dev, 1);
		c = guest64(twice);
		if (vcpu_next(c) != G_SYNC || vcpu_next(c) != G_DONE)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	return st;
}

/* KVM_CREATE_VM on @dev: 0 or -errno */
static int make_vm(const char *dev)
{
	int fd = open(dev, O_RDWR), vm, r;

	if (fd < 0)
		return -errno;
	vm = ioctl(fd, KVM_CREATE_VM, 0);
	r = vm < 0 ? -errno : 0;
	if (vm >= 0)
		close(vm);
	close(fd);
	return r;
}

/* A process that holds a VM of @dev until it is killed; 0 if it could not. */
static pid_t hold(const char *dev)
{
	int ready[2];
	char ok = 0;
	pid_t pid;

	if (pipe(ready))
		return 0;
	pid = fork();
	if (!pid) {
		struct vcpu *c;

		setenv("LUCID_DEV", dev, 1);
		c = guest64(twice);
		ok = vcpu_next(c) == G_SYNC;
		if (write(ready[1], &ok, 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &ok, 1) != 1 || !ok) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = 0;
	}
	close(ready[0]);
	return pid;
}

static void let_go(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Since 6.12 KVM takes the hardware when it is loaded, unless told not to. */
static int kvm_load(void)
{
	if (system("modprobe kvm enable_virt_at_load=0 2>/dev/null"))
		return -1;
	return system(host_is_amd() ? "modprobe kvm_amd 2>/dev/null" :
				      "modprobe kvm_intel 2>/dev/null");
}

static void kvm_unload(void)
{
	unload("kvm_amd");
	unload("kvm_intel");
	unload("kvm");
}

/* ---- The tests -------------------------------------------------------------------- */

#define NEEDS_LUCID							\
	do {								\
		if (strcmp(dev_path(), "/dev/lucid"))			\
			SKIP(return, "it is about lucid.ko");		\
		if (access(ko(), R_OK))					\
			SKIP(return, "no %s", ko());			\
	} while (0)

FIXTURE(module) { bool alias, kvm; };

/* As found, as left: loaded. */
FIXTURE_SETUP(module)
{
	self->kvm = loaded("kvm");
	self->alias = lines_with("/sys/module/lucid/parameters/alias_kvm", "Y");
	if (lines_with("/sys/module/lucid/parameters/unsafe", "Y"))
		machine_args = "unsafe=1 ";
}

FIXTURE_TEARDOWN(module)
{
	if (strcmp(dev_path(), "/dev/lucid") || access(ko(), R_OK))
		return;
	if (!self->kvm)
		kvm_unload();
	if (!loaded("lucid"))
		EXPECT_EQ(0, load(self->alias ? "alias_kvm=1" : ""));
	if (host_is_amd() || !loaded("kvm"))
		EXPECT_EQ(0, run_guest("/dev/lucid"));
}

/* Load and unload @n times, with a guest now and then; what the kernel grew by. */
static long load_times(struct __test_metadata *_metadata, int n)
{
	long kernel = kernel_memory();
	int i;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, load("")) TH_LOG("time %d", i);
		if (i % 20 == 0)
			ASSERT_EQ(0, run_guest("/dev/lucid"));
		ASSERT_EQ(0, unload("lucid")) TH_LOG("time %d", i);
		ASSERT_NE(0, access("/dev/lucid", F_OK));
	}
	usleep(300000);
	return kernel_memory() - kernel;
}

/* Others take memory too; a leak is there every time: one round without clears it. */
TEST_F_TIMEOUT(module, loaded_two_hundred_times, 900)
{
	long kernel = 0, percpu, vmalloc;
	int round;

	NEEDS_LUCID;
	ASSERT_EQ(0, unload("lucid"));
	load_times(_metadata, 20);	/* caches are warm */
	percpu = proc_value("/proc/meminfo", "Percpu:");
	vmalloc = lines_with("/proc/vmallocinfo", "");
	for (round = 0; round < 2 || (round < 6 && kernel >= 600); round++) {
		long grown = load_times(_metadata, 90);

		TH_LOG("grown by %ld kB", grown);
		kernel = round && labs(kernel) < labs(grown) ? kernel : grown;
	}
	percpu = proc_value("/proc/meminfo", "Percpu:") - percpu;
	vmalloc = lines_with("/proc/vmallocinfo", "") - vmalloc;
	TH_LOG("%d rounds; at least kernel memory %+ld kB, percpu %+ld kB, vmalloc areas %+ld",
	       round, kernel, percpu, vmalloc);
	EXPECT_GT(600, kernel);		/* less than two pages a time, and noise */
	EXPECT_GT(180, percpu);
	EXPECT_GT(90, vmalloc);
	EXPECT_EQ(0, lines_with("/proc/slabinfo", "lucid"));
	EXPECT_EQ(0, lines_with("/proc/vmallocinfo", "lucid"));
}

TEST_F(module, not_unloaded_while_in_use)
{
	pid_t pid;
	int fd;

	NEEDS_LUCID;
	fd = open("/dev/lucid", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(-EAGAIN, unload("lucid"));
	close(fd);
	pid = hold("/dev/lucid");
	ASSERT_NE(0, pid);
	ASSERT_EQ(-EAGAIN, unload("lucid"));
	ASSERT_EQ(-EEXIST, load(""));
	let_go(pid);
	ASSERT_EQ(0, unload("lucid"));
}

TEST_F(module, bad_parameters)
{
	NEEDS_LUCID;
	ASSERT_EQ(0, unload("lucid"));
	EXPECT_EQ(-EINVAL, load("alias_kvm=perhaps"));
	EXPECT_EQ(0, loaded("lucid"));
	EXPECT_EQ(0, load("nrips=0"));
	EXPECT_EQ(0, run_guest("/dev/lucid"));
	EXPECT_EQ(0, unload("lucid"));
}

TEST_F(module, alias_kvm)
{
	struct stat lucid, kvm;

	NEEDS_LUCID;
	if (loaded("kvm"))
		SKIP(return, "KVM is loaded");
	ASSERT_EQ(0, unload("lucid"));
	ASSERT_EQ(0, load("alias_kvm=1"));
	ASSERT_EQ(0, stat("/dev/lucid", &lucid));
	ASSERT_EQ(0, stat("/dev/kvm", &kvm));
	EXPECT_EQ(0660, lucid.st_mode & 0777);
	EXPECT_EQ(0660, kvm.st_mode & 0777);
	EXPECT_EQ(0, run_guest("/dev/kvm"));
	EXPECT_EQ(0, run_guest("/dev/lucid"));
	EXPECT_EQ(0, unload("lucid"));
	EXPECT_NE(0, access("/dev/kvm", F_OK));
	ASSERT_EQ(0, load(""));
	EXPECT_NE(0, access("/dev/kvm", F_OK));
}

TEST_F(module, alias_kvm_is_refused_beside_kvm)
{
	NEEDS_LUCID;
	if (loaded("kvm") || kvm_load() || access("/dev/kvm", F_OK))
		SKIP(return, "no KVM to load");
	ASSERT_EQ(0, unload("lucid"));
	mark("mod_reload: alias beside kvm");
	EXPECT_EQ(-EBUSY, load("alias_kvm=1"));
	EXPECT_TRUE(logged("mod_reload: alias beside kvm", "/dev/kvm is taken"));
	EXPECT_EQ(0, loaded("lucid"));
	EXPECT_NE(0, access("/dev/lucid", F_OK));
	EXPECT_EQ(0, load(""));			/* beside KVM it may be */
	if (host_is_amd()) {
		EXPECT_EQ(0, run_guest("/dev/lucid"));
	} else {
		EXPECT_EQ(-EBUSY, make_vm("/dev/lucid"));
	}
	EXPECT_EQ(0, run_guest("/dev/kvm"));
}

/* VMX is KVM's from its load on: there is one slot for who leaves VMX in a crash. */
TEST_F(module, kvm_excludes_lucid_and_lucid_kvm)
{
	pid_t pid;

	NEEDS_LUCID;
	if (host_is_amd())
		SKIP(return, "VMX's rule");
	if (loaded("kvm") || kvm_load() || access("/dev/kvm", F_OK))
		SKIP(return, "no KVM to load");
	mark("mod_reload: kvm loaded");
	EXPECT_EQ(-EBUSY, make_vm("/dev/lucid"));
	EXPECT_TRUE(logged("mod_reload: kvm loaded", "KVM is loaded"));
	EXPECT_EQ(0, run_guest("/dev/kvm"));
	EXPECT_EQ(-EBUSY, make_vm("/dev/lucid"));
	kvm_unload();
	EXPECT_EQ(0, run_guest("/dev/lucid"));

	pid = hold("/dev/lucid");
	ASSERT_NE(0, pid);
	EXPECT_NE(0, kvm_load());
	EXPECT_NE(0, access("/dev/kvm", F_OK));
	EXPECT_EQ(0, make_vm("/dev/lucid"));
	let_go(pid);
	usleep(100000);
	kvm_unload();
	EXPECT_EQ(0, kvm_load());
	EXPECT_EQ(0, run_guest("/dev/kvm"));
}

/* Whoever has a VM has the CPU's SVM. */
TEST_F(module, one_hypervisor_at_a_time)
{
	pid_t pid;
	int i, r;

	NEEDS_LUCID;
	if (!host_is_amd())
		SKIP(return, "SVM's rule");
	if (loaded("kvm") || kvm_load() || access("/dev/kvm", F_OK))
		SKIP(return, "no KVM to load");
	for (i = 0; i < 3; i++) {
		pid = hold("/dev/kvm");
		ASSERT_NE(0, pid);
		mark("mod_reload: kvm first");
		EXPECT_EQ(-EBUSY, make_vm("/dev/lucid"));
		if (i == 0)
			EXPECT_TRUE(logged("mod_reload: kvm first", "another hypervisor holds"));
		/* KVM's VM is none the worse for it, and it is Lucid's turn after */
		let_go(pid);
		usleep(100000);
		EXPECT_EQ(0, run_guest("/dev/lucid"));

		pid = hold("/dev/lucid");
		ASSERT_NE(0, pid);
		r = make_vm("/dev/kvm");
		EXPECT_TRUE(r == -EBUSY || r == -EIO) TH_LOG("%d", r);	/* 6.12 says EIO */
		EXPECT_EQ(0, make_vm("/dev/lucid"));
		let_go(pid);
		usleep(100000);
		EXPECT_EQ(0, run_guest("/dev/kvm"));
	}
}

TEST_HARNESS_MAIN

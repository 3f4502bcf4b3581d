/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Lucid's own additions to KVM's ABI.
 *
 * /dev/lucid answers KVM's ioctls; everything in this file comes on top and
 * exists on /dev/lucid only.  A client finds out by KVM_CHECK_EXTENSION with
 * one of the LUCID_CAP_ numbers, which no KVM ever answers.
 */
#ifndef _UAPI_LINUX_LUCID_H
#define _UAPI_LINUX_LUCID_H

#include <linux/kvm.h>
#include <linux/types.h>

/* Capabilities, in a range that KVM does not use. */
#define LUCID_CAP_STATS		0x4c550001	/* LUCID_GET_STATS, LUCID_SET_STATS */
#define LUCID_CAP_BENCH_FLOOR	0x4c550002	/* LUCID_BENCH_FLOOR */
#define LUCID_CAP_REFUSAL	0x4c550003	/* LUCID_GET_REFUSAL */

/*
 * How often, and for how long, a vCPU left its guest, by hardware exit code.
 *
 * Counting is always on.  Timing (cycles from exit to the next entry, spent in
 * the module only, not in userspace) costs two RDTSC an exit and is switched
 * on with LUCID_SET_STATS.
 */
struct lucid_exit_stat {
	__u32 code;		/* SVM exit code or VMX basic exit reason */
	__u32 flags;		/* 0 */
	__u64 count;
	__u64 cycles;		/* TSC cycles serving them; 0 if not timed */
	char name[24];		/* the manual's name, NUL-terminated */
};

#define LUCID_STATS_TIMED	(1u << 0)	/* cycles are being counted */

struct lucid_stats {
	__u32 nr;		/* in: room in exits[]; out: entries there are */
	__u32 flags;		/* LUCID_STATS_ */
	__u64 entries;		/* guest entries attempted */
	__u64 userspace_exits;	/* KVM_RUN returns */
	__u64 nested_faults;	/* nested page faults that mapped a page */
	__u64 tag_first_use;	/* TLB tag taken: this vCPU had none */
	__u64 tag_migration;	/* ... it ran on another CPU in between */
	__u64 tag_recycled;	/* ... its tag was given away (rollover) */
	__u64 tag_epoch;	/* flushed: nested tables changed */
	__u64 tag_guest;	/* flushed: for what was done for the guest */
	__u64 reserved[6];	/* 0 */
	struct lucid_exit_stat exits[];
};

/*
 * Enter and leave the guest @iterations times, serving nothing: the floor
 * under every cost.  The vCPU must stand on an instruction that always exits
 * (CPUID, HLT); its state does not change.
 */
struct lucid_bench_floor {
	__u64 iterations;	/* in; at most 10^7 */
	__u64 cycles;		/* out: TSC cycles for all of them */
	__u32 exit_code;	/* out: the last exit's code */
	__u32 flags;		/* 0 */
};

/* Why the CPU refused to enter the guest: after KVM_EXIT_FAIL_ENTRY. */
struct lucid_refusal {
	__u64 reason;		/* as kvm_run's hardware_entry_failure_reason */
	char words[120];	/* the check that failed, NUL-terminated; "" if none has */
};

#define LUCIDIO			0xb6

/* vCPU ioctls.  GET_STATS: -E2BIG with nr set if exits[] is too small. */
#define LUCID_GET_STATS		_IOWR(LUCIDIO, 0x01, struct lucid_stats)
#define LUCID_SET_STATS		_IOW(LUCIDIO, 0x02, __u32)	/* LUCID_STATS_ */
#define LUCID_BENCH_FLOOR	_IOWR(LUCIDIO, 0x03, struct lucid_bench_floor)
/*
 * For tests: 1 has every instruction of the vCPU done by the module's emulator,
 * 0 ends that.  An exception is still delivered by the CPU, which then runs the
 * guest until its next exit.  What the emulator does not know leaves as
 * KVM_EXIT_INTERNAL_ERROR.  -EPERM unless the module has test_emulate=1.
 */
#define LUCID_SET_EMULATE	_IOW(LUCIDIO, 0x04, __u32)
#define LUCID_GET_REFUSAL	_IOR(LUCIDIO, 0x05, struct lucid_refusal)

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The virtual machine control block, as the hardware reads it.
 * APM vol. 2, appendix "VMCB Layout, Control Area" and "... State Save Area".
 */
#ifndef LUCID_SVM_VMCB_H
#define LUCID_SVM_VMCB_H

#include <linux/build_bug.h>
#include <linux/types.h>

/* Intercepts: word * 32 + bit, as lucid's svm_intercept_set() takes them. */
enum svm_intercept {
	SVM_ICPT_CR0_READ	= 0,
	SVM_ICPT_CR4_READ	= 4,
	SVM_ICPT_CR8_READ	= 8,
	SVM_ICPT_CR0_WRITE	= 16,
	SVM_ICPT_CR4_WRITE	= 20,
	SVM_ICPT_CR8_WRITE	= 24,
	SVM_ICPT_DR_ALL		= 32,	/* the whole word: 16 reads, 16 writes */
	SVM_ICPT_EXCEPTION	= 64,	/* + vector */
	SVM_ICPT_INTR		= 96,
	SVM_ICPT_NMI,
	SVM_ICPT_SMI,
	SVM_ICPT_INIT,
	SVM_ICPT_VINTR,
	SVM_ICPT_RDPMC		= 111,
	SVM_ICPT_CPUID		= 114,
	SVM_ICPT_RSM,
	SVM_ICPT_IRET,
	SVM_ICPT_INTN,
	SVM_ICPT_INVD,
	SVM_ICPT_PAUSE,
	SVM_ICPT_HLT,
	SVM_ICPT_INVLPG,
	SVM_ICPT_INVLPGA,
	SVM_ICPT_IOIO,
	SVM_ICPT_MSR,
	SVM_ICPT_TASK_SWITCH,
	SVM_ICPT_FERR_FREEZE,
	SVM_ICPT_SHUTDOWN,
	SVM_ICPT_VMRUN		= 128,
	SVM_ICPT_VMMCALL,
	SVM_ICPT_VMLOAD,
	SVM_ICPT_VMSAVE,
	SVM_ICPT_STGI,
	SVM_ICPT_CLGI,
	SVM_ICPT_SKINIT,
	SVM_ICPT_RDTSCP,
	SVM_ICPT_ICEBP,
	SVM_ICPT_WBINVD,
	SVM_ICPT_MONITOR,
	SVM_ICPT_MWAIT,
	SVM_ICPT_MWAIT_ARMED,
	SVM_ICPT_XSETBV,
	SVM_ICPT_RDPRU,
	SVM_ICPT_INVLPGB	= 160,
	SVM_ICPT_INVLPGB_ILLEGAL,
	SVM_ICPT_INVPCID,
	SVM_ICPT_MCOMMIT,
	SVM_ICPT_TLBSYNC,
};

/* int_ctl */
#define SVM_V_TPR		0x0fu
#define SVM_V_IRQ		(1u << 8)
#define SVM_V_INTR_PRIO(p)	((u32)(p) << 16)
#define SVM_V_INTR_PRIO_MASK	SVM_V_INTR_PRIO(0xf)
#define SVM_V_IGN_TPR		(1u << 20)
#define SVM_V_INTR_MASKING	(1u << 24)

/* int_state */
#define SVM_INTERRUPT_SHADOW	(1u << 0)

/* tlb_ctl: APM vol. 2, "TLB Control" */
#define SVM_TLB_NOTHING		0
#define SVM_TLB_FLUSH_ALL	1
#define SVM_TLB_FLUSH_ASID	3

/* event_inj, exit_int_info */
#define SVM_EVENT_VECTOR	0xffu
#define SVM_EVENT_INTR		(0u << 8)
#define SVM_EVENT_NMI		(2u << 8)
#define SVM_EVENT_EXCEPTION	(3u << 8)
#define SVM_EVENT_SOFT		(4u << 8)
#define SVM_EVENT_TYPE		(7u << 8)
#define SVM_EVENT_HAS_ERROR	(1u << 11)
#define SVM_EVENT_VALID		(1u << 31)

#define SVM_NESTED_PAGING	(1ull << 0)	/* nested_ctl */

/* Clean bits: what the CPU may take from its copy. APM vol. 2, "VMCB State Caching". */
enum svm_clean {
	SVM_CLEAN_INTERCEPTS,	/* intercepts, TSC offset */
	SVM_CLEAN_IOPM,
	SVM_CLEAN_ASID,
	SVM_CLEAN_INTR,		/* int_ctl, int_vector */
	SVM_CLEAN_NP,		/* nested_cr3, g_pat */
	SVM_CLEAN_CRX,		/* CR0, CR3, CR4, EFER */
	SVM_CLEAN_DRX,
	SVM_CLEAN_DT,
	SVM_CLEAN_SEG,		/* CS, DS, SS, ES, CPL */
	SVM_CLEAN_CR2,
	SVM_CLEAN_NR
};
#define SVM_CLEAN_ALL		((1u << SVM_CLEAN_NR) - 1)

/* exit_info_1 of IOIO */
#define SVM_IOIO_IN		(1u << 0)
#define SVM_IOIO_STRING		(1u << 2)
#define SVM_IOIO_REP		(1u << 3)
#define SVM_IOIO_SIZE(info)	(((info) >> 4) & 7)	/* 1, 2, 4 bytes */
#define SVM_IOIO_PORT(info)	((u16)((info) >> 16))

/* exit_info_1 of a nested page fault */
#define SVM_NPF_WRITE		(1ull << 1)
#define SVM_NPF_EXEC		(1ull << 4)
#define SVM_NPF_FINAL		(1ull << 32)	/* the guest's own walk was done */

struct vmcb_control {
	u32 intercepts[6];		/* 000 */
	u8 rsvd_018[0x3c - 0x18];
	u16 pause_filter_threshold;	/* 03c */
	u16 pause_filter_count;		/* 03e */
	u64 iopm_pa;			/* 040 */
	u64 msrpm_pa;			/* 048 */
	u64 tsc_offset;			/* 050 */
	u32 asid;			/* 058 */
	u32 tlb_ctl;			/* 05c */
	u32 int_ctl;			/* 060 */
	u32 int_vector;			/* 064 */
	u64 int_state;			/* 068 */
	u64 exit_code;			/* 070 */
	u64 exit_info_1;		/* 078 */
	u64 exit_info_2;		/* 080 */
	u32 exit_int_info;		/* 088 */
	u32 exit_int_error;		/* 08c */
	u64 nested_ctl;			/* 090 */
	u8 rsvd_098[0xa8 - 0x98];
	u32 event_inj;			/* 0a8 */
	u32 event_inj_error;		/* 0ac */
	u64 nested_cr3;			/* 0b0 */
	u64 virt_ext;			/* 0b8 */
	u32 clean;			/* 0c0 */
	u32 rsvd_0c4;
	u64 next_rip;			/* 0c8 */
	u8 insn_len;			/* 0d0: decode assists */
	u8 insn_bytes[15];
	u8 rsvd_0e0[0x400 - 0xe0];
};
static_assert(sizeof(struct vmcb_control) == 0x400);

#define SVM_SEG_L	(1 << 9)

struct vmcb_seg {
	u16 selector;
	u16 attrib;		/* descriptor bits 55:52 and 47:40, packed to 12 bits */
	u32 limit;
	u64 base;
};

struct vmcb_save {
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;	/* 000 */
	u8 rsvd_0a0[0xcb - 0xa0];
	u8 cpl;				/* 0cb */
	u32 rsvd_0cc;
	u64 efer;			/* 0d0 */
	u8 rsvd_0d8[0x148 - 0xd8];
	u64 cr4, cr3, cr0, dr7, dr6;	/* 148 */
	u64 rflags, rip;		/* 170 */
	u8 rsvd_180[0x1d8 - 0x180];
	u64 rsp;			/* 1d8 */
	u64 s_cet, ssp, isst_addr;	/* 1e0 */
	u64 rax;			/* 1f8 */
	struct_group(msrs,		/* 200: VMLOAD, VMSAVE */
		u64 star, lstar, cstar, sfmask;
		u64 kernel_gs_base;
		u64 sysenter_cs, sysenter_esp, sysenter_eip;
	);
	u64 cr2;			/* 240 */
	u8 rsvd_248[0x268 - 0x248];
	u64 g_pat;			/* 268 */
	u64 dbgctl;			/* 270 */
	u8 rsvd_278[0xc00 - 0x278];
};
static_assert(sizeof(struct vmcb_save) == 0xc00);

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};
static_assert(sizeof(struct vmcb) == 4096);
static_assert(offsetof(struct vmcb, save.efer) == 0x4d0);
static_assert(offsetof(struct vmcb, save.rip) == 0x578);
static_assert(offsetof(struct vmcb, save.rax) == 0x5f8);
static_assert(offsetof(struct vmcb, save.g_pat) == 0x668);

#endif

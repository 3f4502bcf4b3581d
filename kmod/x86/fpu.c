// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's x87, SSE, AVX and AVX-512 state.
 *
 * It lives in a buffer of the vCPU's own, in the standard (not compacted)
 * format of XSAVE, so that KVM_GET_XSAVE is a copy.  In the registers it is
 * only between lucid_fpu_enter() and lucid_fpu_leave(), inside of
 * kernel_fpu_begin/end: begin has put the task's state away, so the kernel
 * loads it again before the task sees user mode, whatever we leave behind.
 *
 * Both instructions run with the host's XCR0 and a fixed mask; the guest's XCR0
 * is in force only right around the entry.  So the state of components that
 * the guest has turned off (XCR0) is kept too, as on hardware.
 *
 * The mask leaves out what has a life of its own: PKRU (the host's stays live,
 * user accesses of the kernel depend on it), AMX (needs XFD) and supervisor
 * state.  A guest cannot set their bits in XCR0, so it cannot read the host's.
 *
 * Plain XSAVE is used, not XSAVEOPT.  The latter may skip what is unmodified
 * since the last XRSTOR, which the CPU recognizes by linear address, privilege
 * level and (Intel) VMX mode: SDM vol. 1, "Operation of XSAVEOPT".  AMD's manual
 * does not promise that a guest's XRSTOR is told apart from the host's.
 * It also skips what is in its initial state; without that the buffer is
 * always complete, and reading it needs no second look at XSTATE_BV.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "../lucid.h"

#define FPU_LEGACY_SIZE		sizeof(struct fxregs_state)	/* 512 */
#define FPU_MIN_SIZE		sizeof(struct xregs_state)	/* and the header: 576 */
#define FPU_FCW_INIT		0x037f
/* What the FXSAVE instruction of CPUs that write no mask of their own allow. */
#define FPU_MXCSR_MASK_DEFAULT	0x0000ffbf

/* All that a guest may be given, if the host has it on. */
#define FPU_GUEST_XFEATURES	(XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | \
				 XFEATURE_MASK_AVX512)
#define FPU_MAX_XFEATURES	64

/* Where a component is, as CPUID leaf 0xd tells. */
struct fpu_component {
	u32 size;
	u32 offset;		/* in the standard format */
	bool aligned;		/* to 64, in the compacted format */
};

static struct {
	bool xsave;		/* else FXSAVE, and no XCR0 */
	u64 host_xcr0, host_xss;
	u64 mask;		/* what is saved and restored */
	u32 mxcsr_mask;
	u32 size;		/* of a buffer */
	struct fpu_component component[FPU_MAX_XFEATURES];
} fpu __ro_after_init;

static u32 fpu_read_mxcsr_mask(void)
{
	struct fxregs_state *image;
	u32 mask;

	image = kzalloc(roundup_pow_of_two(sizeof(*image)), GFP_KERNEL);
	if (!image)
		return 0;

	kernel_fpu_begin();
	asm volatile("fxsave %0" : "+m"(*image));
	kernel_fpu_end();
	mask = image->mxcsr_mask ?: FPU_MXCSR_MASK_DEFAULT;
	kfree(image);
	return mask;
}

/**
 * lucid_fpu_module_init() - learn what the host's FPU is like
 *
 * Context: module load, before lucid_cpuid_module_init(); may sleep.
 * Return: 0, -ENOMEM, or -EOPNOTSUPP on a CPU without FXSAVE.
 */
int __init lucid_fpu_module_init(void)
{
	u32 eax, ebx, ecx, edx, i;

	if (!boot_cpu_has(X86_FEATURE_FXSR) || !boot_cpu_has(X86_FEATURE_XMM))
		return -EOPNOTSUPP;

	fpu.mxcsr_mask = fpu_read_mxcsr_mask();
	if (!fpu.mxcsr_mask)
		return -ENOMEM;

	fpu.mask = XFEATURE_MASK_FPSSE;
	fpu.size = FPU_MIN_SIZE;

	/* "noxsave" leaves CR4.OSXSAVE off, and XGETBV would fault. */
	fpu.xsave = boot_cpu_has(X86_FEATURE_XSAVE) &&
		    (cpuid_ecx(1) & BIT(X86_FEATURE_OSXSAVE & 31));
	if (!fpu.xsave)
		return 0;

	fpu.host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl_safe(MSR_IA32_XSS, &fpu.host_xss);

	fpu.mask = fpu.host_xcr0 & FPU_GUEST_XFEATURES;
	/* AVX-512 is one thing to XSETBV: all of its parts, over AVX. */
	if (!(fpu.mask & XFEATURE_MASK_YMM) ||
	    (fpu.mask & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512)
		fpu.mask &= ~(u64)XFEATURE_MASK_AVX512;

	for (i = FIRST_EXTENDED_XFEATURE; i < FPU_MAX_XFEATURES; i++) {
		if (!(fpu.mask & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		if (!eax || ebx < FPU_MIN_SIZE || eax > SZ_64K || ebx > SZ_64K) {
			/* A hypervisor below us that contradicts itself. */
			fpu.mask &= i == XFEATURE_YMM ? XFEATURE_MASK_FPSSE :
							~(u64)XFEATURE_MASK_AVX512;
			continue;
		}
		fpu.component[i].size = eax;
		fpu.component[i].offset = ebx;
		fpu.component[i].aligned = ecx & BIT(1);
	}
	fpu.size = lucid_fpu_xsave_size(fpu.mask);
	return 0;
}

/**
 * lucid_fpu_host_xcr0() - the XCR0 that the kernel runs with, 0 without XSAVE
 *
 * Return: the value; it is the same on every CPU and never changes.
 */
u64 lucid_fpu_host_xcr0(void)
{
	return fpu.host_xcr0;
}

/**
 * lucid_fpu_guest_xcr0_mask() - what XCR0 of a guest may hold, 0 without XSAVE
 *
 * Return: the mask; it is also what the buffers have room for.
 */
u64 lucid_fpu_guest_xcr0_mask(void)
{
	return fpu.xsave ? fpu.mask : 0;
}

/**
 * lucid_fpu_host_xss() - the IA32_XSS that the kernel runs with
 *
 * XSAVES is not offered to guests, but SVM cannot intercept it: the backend
 * runs guests with XSS 0 when this is not 0.
 *
 * Return: the value as it was when the module was loaded.
 */
u64 lucid_fpu_host_xss(void)
{
	return fpu.host_xss;
}

/**
 * lucid_fpu_xsave_size() - bytes that XSAVE needs, standard format
 * @xcr0: the components that are on
 *
 * Return: what CPUID.(0xd,0):EBX says with this XCR0.
 */
u32 lucid_fpu_xsave_size(u64 xcr0)
{
	u64 rest = xcr0 & fpu.mask & ~(u64)XFEATURE_MASK_FPSSE;
	u32 size = FPU_MIN_SIZE;

	for (; rest; rest &= rest - 1) {
		const struct fpu_component *c = &fpu.component[__ffs64(rest)];

		size = max(size, c->offset + c->size);
	}
	return size;
}

/**
 * lucid_fpu_xsave2_size() - bytes of KVM_GET_XSAVE2's buffer, KVM_CAP_XSAVE2
 *
 * Context: any.
 */
u32 lucid_fpu_xsave2_size(void)
{
	return max_t(u32, sizeof(struct kvm_xsave),
		     lucid_fpu_xsave_size(lucid_fpu_guest_xcr0_mask()));
}

/**
 * lucid_fpu_xsave_size_compacted() - bytes that XSAVEC needs
 * @xcr0: the components that are on
 *
 * Return: what CPUID.(0xd,1):EBX says with this XCR0 and no XSS.
 */
u32 lucid_fpu_xsave_size_compacted(u64 xcr0)
{
	u64 rest = xcr0 & fpu.mask & ~(u64)XFEATURE_MASK_FPSSE;
	u32 size = FPU_MIN_SIZE;

	for (; rest; rest &= rest - 1) {
		const struct fpu_component *c = &fpu.component[__ffs64(rest)];

		if (c->aligned)
			size = ALIGN(size, 64);
		size += c->size;
	}
	return size;
}

/* ---- the vCPU's buffer ---- */

static struct xregs_state *fpu_state(struct lucid_vcpu *vcpu)
{
	return vcpu->fpu.state;
}

/* The state after FNINIT and of SSE after reset, which is what KVM starts with. */
static void fpu_init_image(struct xregs_state *state)
{
	memset(state, 0, fpu.size);
	state->i387.cwd = FPU_FCW_INIT;
	state->i387.mxcsr = MXCSR_DEFAULT;
	state->i387.mxcsr_mask = fpu.mxcsr_mask;
}

/**
 * lucid_fpu_create() - give a new vCPU its FPU state
 * @vcpu: the vCPU
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int lucid_fpu_create(struct lucid_vcpu *vcpu)
{
	/*
	 * XSAVE wants 64-byte alignment; the allocator aligns powers of two to
	 * their size, and beyond its limit to pages.
	 */
	vcpu->fpu.state = kvzalloc(roundup_pow_of_two(fpu.size), GFP_KERNEL_ACCOUNT);
	if (!vcpu->fpu.state)
		return -ENOMEM;
	lucid_fpu_reset(vcpu);
	return 0;
}

/**
 * lucid_fpu_destroy() - free it again; NULL is fine
 * @vcpu: the vCPU
 */
void lucid_fpu_destroy(struct lucid_vcpu *vcpu)
{
	kvfree(vcpu->fpu.state);
	vcpu->fpu.state = NULL;
}

/**
 * lucid_fpu_reset() - the state after power-up
 * @vcpu: the vCPU, not in the guest
 *
 * Context: vcpu->lock held, FPU not loaded.
 */
void lucid_fpu_reset(struct lucid_vcpu *vcpu)
{
	fpu_init_image(fpu_state(vcpu));
	vcpu->fpu.xcr0 = XFEATURE_MASK_FP;
}

/* ---- in and out ---- */

static __always_inline bool fpu_restore(struct xregs_state *state)
{
	bool ok = false;

	/*
	 * The reserved parts that could make it fault were checked when the
	 * image came in; the table entry is for what nobody thought of.
	 */
	if (fpu.xsave)
		asm volatile("1: xrstor64 %[state]\n"
			     "   movb $1, %[ok]\n"
			     "2:\n"
			     _ASM_EXTABLE(1b, 2b)
			     : [ok] "+qm"(ok)
			     : [state] "m"(*state), "a"((u32)fpu.mask),
			       "d"((u32)(fpu.mask >> 32))
			     : "memory");
	else
		asm volatile("1: fxrstor64 %[state]\n"
			     "   movb $1, %[ok]\n"
			     "2:\n"
			     _ASM_EXTABLE(1b, 2b)
			     : [ok] "+qm"(ok)
			     : [state] "m"(*state)
			     : "memory");
	return ok;
}

/**
 * lucid_fpu_enter() - the guest's state into the registers
 * @vcpu: the vCPU
 *
 * Preemption is off from here to lucid_fpu_leave(); no kernel_fpu_begin() may
 * come in between, and no sleep.
 *
 * Context: vcpu->lock held, interrupts on, the host's XCR0.
 */
void lucid_fpu_enter(struct lucid_vcpu *vcpu)
{
	kernel_fpu_begin();

	/*
	 * AMD before Zen neither saves nor restores the last x87 instruction's
	 * addresses unless an exception is pending: without a load of our own
	 * the guest would read the host task's (APM vol. 2, "FXSAVE and FXRSTOR
	 * Instructions").
	 */
	if (static_cpu_has_bug(X86_BUG_FXSAVE_LEAK)) {
		u32 zero = 0;

		asm volatile("fnclex\n\temms\n\tfildl %0" : : "m"(zero));
	}

	if (unlikely(!fpu_restore(fpu_state(vcpu)))) {
		/* Never into the guest with the host's registers. */
		WARN_ONCE(1, "lucid: XRSTOR of a checked image faulted\n");
		fpu_init_image(fpu_state(vcpu));
		fpu_restore(fpu_state(vcpu));
	}
	vcpu->fpu.loaded = true;
}

/**
 * lucid_fpu_leave() - the guest's state back into its buffer
 * @vcpu: the vCPU
 *
 * The registers keep the guest's values until the kernel loads the next task's,
 * which it does before that task runs in user mode.
 *
 * Context: after lucid_fpu_enter(), interrupts on, the host's XCR0.
 */
void lucid_fpu_leave(struct lucid_vcpu *vcpu)
{
	struct xregs_state *state = fpu_state(vcpu);

	if (fpu.xsave)
		asm volatile("xsave64 %[state]"
			     : [state] "+m"(*state)
			     : "a"((u32)fpu.mask), "d"((u32)(fpu.mask >> 32))
			     : "memory");
	else
		asm volatile("fxsave64 %[state]" : [state] "+m"(*state) : : "memory");

	vcpu->fpu.loaded = false;
	kernel_fpu_end();
}

/* ---- XCR0 ---- */

/**
 * lucid_fpu_set_xcr0() - what XSETBV does, its privilege check aside
 * @vcpu:  the vCPU
 * @index: ECX
 * @value: EDX:EAX
 *
 * SDM vol. 2, XSETBV, and vol. 1, "Enabling the XSAVE Feature Set".  Bit 0 may
 * be set on a vCPU without XSAVE as well: it is the value after reset.
 *
 * Context: vcpu->lock held; any.
 * Return: 0 or LUCID_GP.
 */
int lucid_fpu_set_xcr0(struct lucid_vcpu *vcpu, u32 index, u64 value)
{
	u64 avx512 = value & XFEATURE_MASK_AVX512;

	if (index != XCR_XFEATURE_ENABLED_MASK || !(value & XFEATURE_MASK_FP))
		return LUCID_GP;
	if (value & ~(vcpu->cpuid.xcr0_allowed | XFEATURE_MASK_FP))
		return LUCID_GP;
	if ((value & XFEATURE_MASK_YMM) && !(value & XFEATURE_MASK_SSE))
		return LUCID_GP;
	if (avx512 && (avx512 != XFEATURE_MASK_AVX512 || !(value & XFEATURE_MASK_YMM)))
		return LUCID_GP;

	if (value != vcpu->fpu.xcr0) {
		vcpu->fpu.xcr0 = value;
		lucid_cpuid_update(vcpu);	/* CPUID tells the size */
	}
	return 0;
}

/**
 * lucid_fpu_get_xcrs() - KVM_GET_XCRS
 * @vcpu: the vCPU
 * @x:    the answer, zeroed by the caller
 *
 * Context: vcpu->lock held.
 */
void lucid_fpu_get_xcrs(struct lucid_vcpu *vcpu, struct kvm_xcrs *x)
{
	x->nr_xcrs = 0;
	if (!fpu.xsave)
		return;

	x->nr_xcrs = 1;
	x->flags = 0;
	x->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	x->xcrs[0].value = vcpu->fpu.xcr0;
}

/**
 * lucid_fpu_set_xcrs() - KVM_SET_XCRS
 * @vcpu: the vCPU
 * @x:    what to set; the first entry for XCR0 counts, others are ignored (as KVM)
 *
 * Context: vcpu->lock held.
 * Return: 0 or -EINVAL, and then nothing has changed.
 */
int lucid_fpu_set_xcrs(struct lucid_vcpu *vcpu, const struct kvm_xcrs *x)
{
	u32 i;

	if (!fpu.xsave || x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;

	for (i = 0; i < x->nr_xcrs; i++)
		if (x->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return lucid_fpu_set_xcr0(vcpu, XCR_XFEATURE_ENABLED_MASK,
						  x->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

/* ---- the images of userspace ---- */

/**
 * lucid_fpu_get_fpu() - KVM_GET_FPU
 * @vcpu: the vCPU
 * @f:    the answer, zeroed by the caller
 *
 * KVM leaves mxcsr 0; here it is the guest's.
 *
 * Context: vcpu->lock held, FPU not loaded.
 */
void lucid_fpu_get_fpu(struct lucid_vcpu *vcpu, struct kvm_fpu *f)
{
	const struct fxregs_state *fx = &fpu_state(vcpu)->i387;

	memcpy(f->fpr, fx->st_space, sizeof(f->fpr));
	f->fcw = fx->cwd;
	f->fsw = fx->swd;
	f->ftwx = fx->twd;
	f->last_opcode = fx->fop;
	f->last_ip = fx->rip;
	f->last_dp = fx->rdp;
	memcpy(f->xmm, fx->xmm_space, sizeof(f->xmm));
	f->mxcsr = fx->mxcsr;
}

/**
 * lucid_fpu_set_fpu() - KVM_SET_FPU
 * @vcpu: the vCPU
 * @f:    the new state
 *
 * mxcsr is ignored, as KVM does: clients are used to leaving it 0, which would
 * unmask every SSE exception.
 *
 * Context: vcpu->lock held, FPU not loaded.
 * Return: 0; no x87 or XMM value can make XRSTOR fault.
 */
int lucid_fpu_set_fpu(struct lucid_vcpu *vcpu, const struct kvm_fpu *f)
{
	struct xregs_state *state = fpu_state(vcpu);
	struct fxregs_state *fx = &state->i387;

	memcpy(fx->st_space, f->fpr, sizeof(f->fpr));
	fx->cwd = f->fcw;
	fx->swd = f->fsw;
	fx->twd = f->ftwx;
	fx->fop = f->last_opcode;
	fx->rip = f->last_ip;
	fx->rdp = f->last_dp;
	memcpy(fx->xmm_space, f->xmm, sizeof(f->xmm));
	/* Else XRSTOR would load the initial state instead. */
	state->header.xfeatures |= XFEATURE_MASK_FPSSE;
	return 0;
}

/**
 * lucid_fpu_get_xmm() - read an XMM register, for the emulator
 * @vcpu: the vCPU
 * @reg:  0..15
 * @buf:  for 16 bytes
 *
 * Context: vcpu->lock held, FPU not loaded.
 */
void lucid_fpu_get_xmm(struct lucid_vcpu *vcpu, unsigned int reg, void *buf)
{
	memcpy(buf, &fpu_state(vcpu)->i387.xmm_space[4 * reg], 16);
}

/**
 * lucid_fpu_set_xmm() - write an XMM register, for the emulator
 * @vcpu: the vCPU
 * @reg:  0..15
 * @buf:  16 bytes; what AVX has above them stays
 *
 * Context: vcpu->lock held, FPU not loaded.
 */
void lucid_fpu_set_xmm(struct lucid_vcpu *vcpu, unsigned int reg, const void *buf)
{
	struct xregs_state *state = fpu_state(vcpu);

	memcpy(&state->i387.xmm_space[4 * reg], buf, 16);
	state->header.xfeatures |= XFEATURE_MASK_SSE;
}

/* Copy the components in @which of @from to @to, all but the header. */
static void fpu_copy_components(void *to, const void *from, u64 which)
{
	const struct fxregs_state *src = from;
	struct fxregs_state *dst = to;
	u64 rest = which & fpu.mask & ~(u64)XFEATURE_MASK_FPSSE;

	if (which & XFEATURE_MASK_FP) {
		memcpy(dst, src, offsetof(struct fxregs_state, mxcsr));
		memcpy(dst->st_space, src->st_space, sizeof(dst->st_space));
	}
	if (which & XFEATURE_MASK_SSE)
		memcpy(dst->xmm_space, src->xmm_space, sizeof(dst->xmm_space));

	for (; rest; rest &= rest - 1) {
		const struct fpu_component *c = &fpu.component[__ffs64(rest)];

		memcpy(to + c->offset, from + c->offset, c->size);
	}
}

/**
 * lucid_fpu_get_xsave() - KVM_GET_XSAVE and KVM_GET_XSAVE2
 * @vcpu: the vCPU
 * @buf:  for the image, zeroed by the caller
 * @size: its size in bytes, at least sizeof(struct kvm_xsave)
 *
 * x87 and SSE are always told, other components only if the vCPU's CPUID has
 * them: the image is then accepted on another host with the same CPUID.
 *
 * Context: vcpu->lock held, FPU not loaded.
 */
void lucid_fpu_get_xsave(struct lucid_vcpu *vcpu, void *buf, u32 size)
{
	const struct xregs_state *state = fpu_state(vcpu);
	u64 which = vcpu->cpuid.xcr0_allowed | XFEATURE_MASK_FPSSE;
	struct xregs_state *out = buf;

	if (WARN_ON_ONCE(size < fpu.size))
		return;

	fpu_copy_components(out, state, which);
	out->i387.mxcsr = state->i387.mxcsr;
	out->i387.mxcsr_mask = fpu.mxcsr_mask;
	if (!fpu.xsave) {
		out->header.xfeatures = XFEATURE_MASK_FPSSE;
		return;
	}
	out->header.xfeatures = state->header.xfeatures & which;
	/* MXCSR has no bit of its own; see the other direction. */
	if (state->i387.mxcsr != MXCSR_DEFAULT)
		out->header.xfeatures |= XFEATURE_MASK_SSE;
}

/**
 * lucid_fpu_set_xsave() - KVM_SET_XSAVE
 * @vcpu: the vCPU
 * @buf:  the image, in kernel memory (userspace must not change it meanwhile)
 * @size: its size in bytes, at least sizeof(struct kvm_xsave)
 *
 * A component whose bit in XSTATE_BV is 0 goes to its initial state, MXCSR with
 * the last of those that use it.  What would make XRSTOR fault is refused (SDM
 * vol. 1, "Operation of XRSTOR"; APM vol. 4, XRSTOR): a bit that is not offered,
 * a compacted image, reserved bytes of the header, reserved bits of MXCSR.
 *
 * Context: vcpu->lock held, FPU not loaded.
 * Return: 0 or -EINVAL, and then nothing has changed.
 */
int lucid_fpu_set_xsave(struct lucid_vcpu *vcpu, const void *buf, u32 size)
{
	struct xregs_state *state = fpu_state(vcpu);
	const struct xregs_state *in = buf;
	u64 features, uses_mxcsr;
	u32 mxcsr = MXCSR_DEFAULT;

	if (size < fpu.size)
		return -EINVAL;

	features = in->header.xfeatures;
	if (features & ~fpu.mask)
		return -EINVAL;
	if (fpu.xsave) {
		if (in->header.xcomp_bv ||
		    memchr_inv(in->header.reserved, 0, sizeof(in->header.reserved)))
			return -EINVAL;
	} else {
		features = XFEATURE_MASK_FPSSE;	/* the header means nothing to FXRSTOR */
	}

	uses_mxcsr = XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM;
	if (features & uses_mxcsr)
		mxcsr = in->i387.mxcsr;
	if (mxcsr & ~fpu.mxcsr_mask)
		return -EINVAL;

	fpu_init_image(state);
	fpu_copy_components(state, in, features);
	state->i387.mxcsr = mxcsr;
	if (fpu.xsave)
		state->header.xfeatures = features;
	return 0;
}

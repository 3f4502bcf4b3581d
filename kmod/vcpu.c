// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual CPU: its life, its mapped kvm_run, and the ioctls of its file
 * descriptor.  Look up, lock, copy, dispatch: what they do is elsewhere.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "device.h"
#include "lucid.h"

/**
 * lucid_vcpu_destroy - the end of a vCPU, with its VM
 * @vcpu: the vCPU
 *
 * Also takes apart one whose creation failed half-way.
 */
void lucid_vcpu_destroy(struct lucid_vcpu *vcpu)
{
	lucid_irq_vcpu_destroy(vcpu);
	lucid_table_cache_free(&vcpu->tables);
	lucid_cpuid_destroy(vcpu);
	lucid_fpu_destroy(vcpu);
	lucid_hw_vcpu_destroy(vcpu);
	free_page((unsigned long)vcpu->run);
	free_page((unsigned long)vcpu->pio_data);
	kfree(vcpu);
}

static struct lucid_vcpu *lucid_vcpu_alloc(struct lucid_vm *vm, u32 id)
{
	struct lucid_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->last_cpu = -1;
	mutex_init(&vcpu->lock);
	lucid_tlb_vcpu_init(&vcpu->tlb);

	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data || lucid_fpu_create(vcpu) ||
	    lucid_hw_vcpu_create(vcpu)) {
		lucid_vcpu_destroy(vcpu);
		return ERR_PTR(-ENOMEM);
	}
	vcpu->tsc_offset = -vm->tsc_base;
	lucid_irq_vcpu_init(vcpu);
	lucid_cpuid_create(vcpu);
	lucid_vcpu_reset(vcpu, false);
	return vcpu;
}

/**
 * lucid_vcpu_create - KVM_CREATE_VCPU
 * @vm: the VM
 * @id: the caller's number for it
 *
 * Return: the new file descriptor; -EINVAL (too many, number too large),
 * -EEXIST, -ENOMEM, -EMFILE.
 */
long lucid_vcpu_create(struct lucid_vm *vm, unsigned long id)
{
	struct lucid_vcpu *vcpu;
	struct file *file;
	char name[24];
	unsigned int i;
	int fd;
	long r;

	if (id >= LUCID_MAX_VCPU_ID)
		return -EINVAL;
	vcpu = lucid_vcpu_alloc(vm, id);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);

	mutex_lock(&vm->lock);
	r = -EINVAL;
	if (vm->nr_vcpus == LUCID_MAX_VCPUS)
		goto err;
	r = -EEXIST;
	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i]->id == id)
			goto err;

	r = fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err;
	snprintf(name, sizeof(name), "kvm-vcpu:%lu", id);
	file = anon_inode_getfile(name, &lucid_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		r = PTR_ERR(file);
		goto err;
	}
	lucid_vm_get(vm);
	vcpu->index = vm->nr_vcpus;
	vm->vcpus[vcpu->index] = vcpu;
	smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	/* Known to lucid_vm_flush_remote() before anybody can run it. */
	fd_install(fd, file);
	mutex_unlock(&vm->lock);
	return fd;
err:
	mutex_unlock(&vm->lock);
	lucid_vcpu_destroy(vcpu);
	return r;
}

/* ---- the mapping: kvm_run, then the data of port I/O ------------------------- */

static vm_fault_t lucid_vcpu_fault(struct vm_fault *vmf)
{
	struct lucid_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff == 0)
		page = virt_to_page(vcpu->run);
	else if (vmf->pgoff == 1)
		page = virt_to_page(vcpu->pio_data);
	else
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct lucid_vcpu_vm_ops = {
	.fault = lucid_vcpu_fault,
};

static int lucid_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &lucid_vcpu_vm_ops;
	return 0;
}

static int lucid_vcpu_release(struct inode *inode, struct file *file)
{
	struct lucid_vcpu *vcpu = file->private_data;

	lucid_vm_put(vcpu->vm);
	return 0;
}

/* ---- ioctls ------------------------------------------------------------------- */

static int set_signal_mask(struct lucid_vcpu *vcpu, void __user *argp)
{
	struct kvm_signal_mask __user *arg = argp;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!arg) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, arg->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}

static int queue_interrupt(struct lucid_vcpu *vcpu, void __user *argp)
{
	struct kvm_interrupt irq;

	if (copy_from_user(&irq, argp, sizeof(irq)))
		return -EFAULT;
	if (irq.irq > 255)
		return -EINVAL;
	if (vcpu->vm->irq.in_kernel)
		return -ENXIO;
	/* As with KVM: it is the caller who waits for ready_for_interrupt_injection. */
	vcpu->events.interrupt.injected = true;
	vcpu->events.interrupt.soft = false;
	vcpu->events.interrupt.vector = irq.irq;
	vcpu->events_armed = true;
	return 0;
}

static int set_mp_state(struct lucid_vcpu *vcpu, const struct kvm_mp_state *s)
{
	switch (s->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		/* Without an interrupt controller in the kernel userspace does the waiting. */
		if (vcpu->vm->irq.in_kernel)
			break;
		fallthrough;
	default:
		return -EINVAL;
	}
	if (s->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		set_bit(LUCID_SIPI_BIT, &vcpu->irq.init);
		lucid_request(vcpu, LUCID_REQ_INIT);
	} else {
		vcpu->mp_state = s->mp_state;
	}
	WRITE_ONCE(vcpu->irq.check, true);
	return 0;
}

static int get_stats(struct lucid_vcpu *vcpu, struct lucid_stats __user *arg)
{
	struct lucid_stats s = {};
	struct lucid_exit_stat e;
	u32 room, i, nr = 0;

	if (get_user(room, &arg->nr))
		return -EFAULT;
	for (i = 0; i < LUCID_EXIT_CODES; i++) {
		if (!vcpu->stats.exit[i].count)
			continue;
		if (nr < room) {
			memset(&e, 0, sizeof(e));
			strscpy(e.name, lucid_hw_exit_name(i, &e.code), sizeof(e.name));
			e.count = vcpu->stats.exit[i].count;
			e.cycles = vcpu->stats.exit[i].cycles;
			if (copy_to_user(&arg->exits[nr], &e, sizeof(e)))
				return -EFAULT;
		}
		nr++;
	}
	s.nr = nr;
	s.flags = vcpu->stats.timed ? LUCID_STATS_TIMED : 0;
	s.entries = vcpu->stats.entries;
	s.userspace_exits = vcpu->stats.userspace_exits;
	s.nested_faults = vcpu->stats.nested_faults;
	s.tag_first_use = vcpu->stats.tag[LUCID_TLB_FIRST_USE];
	s.tag_migration = vcpu->stats.tag[LUCID_TLB_MIGRATION];
	s.tag_recycled = vcpu->stats.tag[LUCID_TLB_RECYCLED];
	s.tag_epoch = vcpu->stats.tag[LUCID_TLB_EPOCH];
	s.tag_guest = vcpu->stats.tag[LUCID_TLB_GUEST];
	if (copy_to_user(arg, &s, sizeof(s)))
		return -EFAULT;
	return nr > room ? -E2BIG : 0;
}

static int set_stats(struct lucid_vcpu *vcpu, u32 __user *arg)
{
	u32 flags;

	if (get_user(flags, arg))
		return -EFAULT;
	if (flags & ~LUCID_STATS_TIMED)
		return -EINVAL;
	vcpu->stats.timed = flags & LUCID_STATS_TIMED;
	vcpu->stats.exit_tsc = 0;
	return 0;
}

static int bench_floor(struct lucid_vcpu *vcpu, struct lucid_bench_floor __user *arg)
{
	struct lucid_bench_floor b;
	int r;

	if (copy_from_user(&b, arg, sizeof(b)))
		return -EFAULT;
	r = lucid_bench_floor(vcpu, &b);
	if (!r && copy_to_user(arg, &b, sizeof(b)))
		return -EFAULT;
	return r;
}

static int set_emulate(struct lucid_vcpu *vcpu, u32 __user *arg)
{
	u32 on;

	return get_user(on, arg) ? -EFAULT : lucid_set_emulate(vcpu, on);
}

/*
 * Registers in one struct: copied whole in or out.  kmalloc'ed, since some are
 * large for a stack.
 */
#define LUCID_GET(type, call) ({					\
	struct type *_s = kzalloc(sizeof(*_s), GFP_KERNEL_ACCOUNT);	\
	int _r = -ENOMEM;						\
									\
	if (_s) {							\
		call(vcpu, _s);						\
		_r = copy_to_user(argp, _s, sizeof(*_s)) ? -EFAULT : 0;	\
		kfree(_s);						\
	}								\
	_r; })

#define LUCID_SET(type, call) ({					\
	struct type *_s = memdup_user(argp, sizeof(*_s));		\
	int _r = PTR_ERR_OR_ZERO(_s);					\
									\
	if (!_r) {							\
		_r = call(vcpu, _s);					\
		kfree(_s);						\
	}								\
	_r; })

static int set_regs(struct lucid_vcpu *vcpu, const struct kvm_regs *r)
{
	lucid_set_regs(vcpu, r);
	return 0;
}

static void get_mp_state(struct lucid_vcpu *vcpu, struct kvm_mp_state *s)
{
	lucid_vcpu_take_init(vcpu);	/* what has come meanwhile, as KVM */
	s->mp_state = vcpu->mp_state;
}

static int get_xsave(struct lucid_vcpu *vcpu, void __user *argp, u32 size)
{
	void *buf = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	int r;

	if (!buf)
		return -ENOMEM;
	lucid_fpu_get_xsave(vcpu, buf, size);
	r = copy_to_user(argp, buf, size) ? -EFAULT : 0;
	kvfree(buf);
	return r;
}

static int set_xsave(struct lucid_vcpu *vcpu, void __user *argp, u32 size)
{
	void *buf = vmemdup_user(argp, size);
	int r;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	r = lucid_fpu_set_xsave(vcpu, buf, size);
	kvfree(buf);
	return r;
}

static int translate(struct lucid_vcpu *vcpu, void __user *argp)
{
	struct kvm_translation t;
	int r;

	if (copy_from_user(&t, argp, sizeof(t)))
		return -EFAULT;
	r = lucid_translate(vcpu, &t);
	if (!r && copy_to_user(argp, &t, sizeof(t)))
		return -EFAULT;
	return r;
}

static long vcpu_ioctl_locked(struct lucid_vcpu *vcpu, unsigned int nr, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (nr) {
	case KVM_RUN:
		return arg ? -EINVAL : lucid_vcpu_run(vcpu);
	case KVM_GET_REGS:
		return LUCID_GET(kvm_regs, lucid_get_regs);
	case KVM_SET_REGS:
		return LUCID_SET(kvm_regs, set_regs);
	case KVM_GET_SREGS:
		return LUCID_GET(kvm_sregs, lucid_get_sregs);
	case KVM_SET_SREGS:
		return LUCID_SET(kvm_sregs, lucid_set_sregs);
	case KVM_GET_SREGS2:
		return LUCID_GET(kvm_sregs2, lucid_get_sregs2);
	case KVM_SET_SREGS2:
		return LUCID_SET(kvm_sregs2, lucid_set_sregs2);
	case KVM_GET_FPU:
		return LUCID_GET(kvm_fpu, lucid_fpu_get_fpu);
	case KVM_SET_FPU:
		return LUCID_SET(kvm_fpu, lucid_fpu_set_fpu);
	case KVM_GET_XCRS:
		return LUCID_GET(kvm_xcrs, lucid_fpu_get_xcrs);
	case KVM_SET_XCRS:
		return LUCID_SET(kvm_xcrs, lucid_fpu_set_xcrs);
	case KVM_GET_XSAVE:
		return get_xsave(vcpu, argp, sizeof(struct kvm_xsave));
	case KVM_GET_XSAVE2:
		return get_xsave(vcpu, argp, lucid_fpu_xsave2_size());
	case KVM_SET_XSAVE:
		return set_xsave(vcpu, argp, lucid_fpu_xsave2_size());
	case KVM_GET_DEBUGREGS:
		return LUCID_GET(kvm_debugregs, lucid_get_debugregs);
	case KVM_SET_DEBUGREGS:
		return LUCID_SET(kvm_debugregs, lucid_set_debugregs);
	case KVM_GET_VCPU_EVENTS:
		return LUCID_GET(kvm_vcpu_events, lucid_get_events);
	case KVM_SET_VCPU_EVENTS:
		return LUCID_SET(kvm_vcpu_events, lucid_set_events);
	case KVM_GET_MP_STATE:
		return LUCID_GET(kvm_mp_state, get_mp_state);
	case KVM_SET_MP_STATE:
		return LUCID_SET(kvm_mp_state, set_mp_state);
	case KVM_GET_MSRS:
		return lucid_msr_ioctl(vcpu, argp, false);
	case KVM_SET_MSRS:
		return lucid_msr_ioctl(vcpu, argp, true);
	case KVM_SET_CPUID:
		return lucid_cpuid_set_old(vcpu, argp);
	case KVM_SET_CPUID2:
		return lucid_cpuid_set(vcpu, argp);
	case KVM_GET_CPUID2:
		return lucid_cpuid_get(vcpu, argp);
	case KVM_INTERRUPT:
		return queue_interrupt(vcpu, argp);
	case KVM_NMI:
		atomic_inc(&vcpu->nmi_queued);
		lucid_request(vcpu, LUCID_REQ_NMI);
		return 0;
	case KVM_SET_SIGNAL_MASK:
		return set_signal_mask(vcpu, argp);
	case KVM_TRANSLATE:
		return translate(vcpu, argp);
	case KVM_GET_TSC_KHZ:
		return tsc_khz;
	case KVM_SET_TSC_KHZ:
		/* The guest's TSC runs as the host's does (0 means that); no scaling. */
		return !arg || arg == tsc_khz ? 0 : -EINVAL;
	case KVM_GET_LAPIC:
		return lucid_irq_get_lapic(vcpu, argp);
	case KVM_SET_LAPIC:
		return lucid_irq_set_lapic(vcpu, argp);
	case LUCID_GET_STATS:
		return get_stats(vcpu, argp);
	case LUCID_SET_STATS:
		return set_stats(vcpu, argp);
	case LUCID_BENCH_FLOOR:
		return bench_floor(vcpu, argp);
	case LUCID_SET_EMULATE:
		return set_emulate(vcpu, argp);
	case LUCID_GET_REFUSAL:
		return copy_to_user(argp, &vcpu->refusal, sizeof(vcpu->refusal)) ? -EFAULT : 0;
	}
	return -EINVAL;		/* as KVM */
}

static long lucid_vcpu_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct lucid_vcpu *vcpu = file->private_data;
	long r;

	if (vcpu->vm->mem.mm != current->mm)
		return -EIO;
	if (_IOC_TYPE(nr) != KVMIO && _IOC_TYPE(nr) != LUCIDIO)
		return -EINVAL;
	/* A thread in KVM_RUN holds it; who waits here can be killed. */
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	r = vcpu_ioctl_locked(vcpu, nr, arg);
	mutex_unlock(&vcpu->lock);
	return r;
}

const struct file_operations lucid_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = lucid_vcpu_release,
	.unlocked_ioctl = lucid_vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = lucid_vcpu_mmap,
	.llseek = noop_llseek,
};

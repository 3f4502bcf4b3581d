// SPDX-License-Identifier: GPL-2.0
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>

/*
 * The kernel's function for "work to do before going to the guest" wants one
 * of KVM's vCPUs, to note in it that a signal came.  It reads nothing, so all
 * of ours share this one, which nobody reads either.
 */
static struct kvm_run note_run;
static struct kvm_vcpu note = { .run = &note_run };

int lucid_xfer_to_guest_mode_work(void);

/**
 * lucid_xfer_to_guest_mode_work - reschedule, task work, freezer
 *
 * Context: KVM_RUN's thread, may sleep.
 * Return: 0, or -EINTR for a signal.
 */
int lucid_xfer_to_guest_mode_work(void)
{
	return xfer_to_guest_mode_handle_work(&note);
}

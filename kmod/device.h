/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUCID_DEVICE_H
#define LUCID_DEVICE_H

#include <linux/fs.h>

int lucid_device_register(void);
void lucid_device_unregister(void);
int lucid_device_hold_kvm(void);
void lucid_device_let_kvm_go(void);

extern const struct file_operations lucid_vm_fops;
extern const struct file_operations lucid_vcpu_fops;

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* What kmod/tlb takes from the kernel: the types, and nothing else. */
#ifndef LUCID_HOST_SHIM_H
#define LUCID_HOST_SHIM_H

#include <linux/types.h>

#endif

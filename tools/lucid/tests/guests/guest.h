/* SPDX-License-Identifier: GPL-2.0 */
/* For the test guests: they leave with GOOD, or with the step that failed. */
#include "boot.h"

#define GOOD	100
#define COM1	0x3f8

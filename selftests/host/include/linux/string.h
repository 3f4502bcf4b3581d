/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUCID_HOST_LINUX_STRING_H
#define LUCID_HOST_LINUX_STRING_H
#include <string.h>
#endif

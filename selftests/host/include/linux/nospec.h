/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUCID_HOST_LINUX_NOSPEC_H
#define LUCID_HOST_LINUX_NOSPEC_H
#define array_index_nospec(index, size)	(index)
#endif

# SPDX-License-Identifier: GPL-2.0
# Sourced by the lab's scripts: where things are, and how to complain.

# An ordinary user's PATH may lack modprobe and depmod.
PATH=$PATH:/usr/sbin:/sbin

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LAB_DIR/../.." && pwd)
CACHE=${LAB_CACHE:-$TOP/.cache}

# The kernels that the lab knows. Each lives unpacked in $CACHE/kernel/$KVER.
LAB_KERNELS="6.1 6.12"
LAB_GUEST_KERNELS="6.1-cloud"	# for guests: no modules

say() { echo "${0##*/}: $*" >&2; }

# What the lab itself cannot do is status 125, never a COMMAND's own status.
die() { say "$*"; exit 125; }

kernel_dir() { echo "$CACHE/kernel/$1"; }

# Run the rest of the script alone among concurrent ones: lock NAME (fd 9).
lock()
{
	mkdir -p "$CACHE"
	exec 9> "$CACHE/$1.lock"
	flock 9 || die "cannot lock $CACHE/$1.lock"
}

unlock() { exec 9>&-; }

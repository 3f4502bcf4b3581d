# SPDX-License-Identifier: GPL-2.0
#
# Lab back end: no machine at all, this host. For hosts that have SVM or VMX
# and accept modules. COMMAND sees the same files in the same places as in an
# emulated machine: it runs in a root folder of its own, on this kernel.

backend_check()
{
	[ "$(id -u)" = 0 ] || die "LAB=host needs root: it loads a module"
	grep -qwE 'svm|vmx' /proc/cpuinfo || say "this host's CPU shows neither svm nor vmx"
	[ -z "$icount" ] || die "--icount: a real CPU counts no instructions; use the emulator"
}

# What init does in the machine; ports, disk and marks are the same.
backend_run()
{
	local world=$run/world mark child='' status=143

	mkdir -p "$world"
	# cpio reads one archive at a time and $initrd is two.
	(cd "$world" && cpio --quiet -idm < "$base" && cp -a "$root/." .)
	mark="lucid lab $$ $RANDOM"
	echo "$mark" > /dev/kmsg

	tell() { echo "$1" >> "$run/port3"; }
	case $load in
	kvm)	modprobe kvm_amd 2>/dev/null || modprobe kvm_intel ||
			tell "FAIL:KVM does not load" ;;
	lucid)	# shellcheck disable=SC2086 # words are what is wanted
		insmod "$module" $insmod || tell "FAIL:lucid.ko does not load" ;;
	esac

	# Killed by the clock: end COMMAND, then clean up like always.
	trap 'kill $child; wait $child' TERM
	tell UP
	if [ "$shell" ]; then
		(host_world "$world" 2>&1)
		status=$?
	else
		host_world "$world" > "$run/port1" 2> "$run/port2" &
		child=$!
		wait $child && status=0 || status=$?
	fi

	[ "$disk" ] && tar -c -f "$disk" -C "$world/out" .
	if [ "$load" = lucid ]; then
		rmmod lucid || tell "FAIL:lucid.ko does not unload"
	fi
	dmesg | sed "1,/$mark/d" > "$run/port0"
	tell "EXIT:$status"
	rm -rf --one-file-system "$world"
}

# COMMAND with root folder $1, as the first process of a pid namespace, so that
# nothing of it stays; mounts are private to it and go with it.
host_world()
{
	exec unshare --mount --pid --fork --kill-child sh -c '
		mount --rbind /dev $0/dev
		mount --rbind /sys $0/sys
		mount -t proc proc $0/proc
		mount -t tmpfs tmpfs $0/tmp
		exec chroot $0 /bin/sh -c "cd /; . /lab/command"' "$1"
}

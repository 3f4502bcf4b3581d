# SPDX-License-Identifier: GPL-2.0
#
# Lab back end: QEMU's TCG, an emulated AMD CPU with SVM. Sourced by lab; the
# contract is in README.md.

# $disk as the machine sees it, and the modules that this takes.
backend_disk=/dev/vda
backend_modules="virtio_pci virtio_blk"

# QEMU (7.2; cpu_clear_ignne()): FXRSTOR or XRSTOR on any CPU reads, changes and
# writes flags of CPU 0, and no lock is held.  "In a guest", "nested paging" and
# GIF are in the same word: a CPU 0 that enters or leaves a guest at that moment
# loses one of them, and then the guest or the host triple-faults or stands
# still, with KVM as with us (README.md shows how to see it).  So with several
# CPUs there is one more, the first, which never sees a guest.
backend_cpus=

backend_check()
{
	cpu=${cpu:-EPYC,+svm,+npt}
	[ -z "$icount" ] || [ "$cpus" = 1 ] || die "--icount works with one CPU only"
	command -v qemu-system-x86_64 > /dev/null ||
		die "qemu is missing: apt-get install --no-install-recommends qemu-system-x86"
	[ "$cpus" = 1 ] || [ "${LAB_CPU0:-}" ] || backend_cpus=1-$cpus
}

# Boot $vmlinux with $initrd and $append; the four serial ports go to the
# files $run/port0..3 (port1 to the terminal, with --shell); $disk, if set, is
# the machine's disk. Returns when the machine is off.
backend_run()
{
	local n=$cpus
	[ -z "$backend_cpus" ] || n=$((cpus + 1))
	local args=(-nodefaults -no-user-config -display none -no-reboot
		-machine pc -accel tcg -cpu "$cpu"
		-m "$mem" -smp "$n"
		-kernel "$vmlinux" -initrd "$initrd" -append "$append")
	local port

	# One tick is one instruction; no source of chance is left: not the
	# random numbers, not the clock, not the address layout.
	if [ "$icount" ]; then
		args+=(-icount "shift=0,sleep=off" -seed 1
			-rtc "base=2026-01-01,clock=vm")
	else
		args+=(-rtc "base=utc")
	fi
	for port in 0 1 2 3; do
		if [ $port = 1 ] && [ "$shell" ]; then
			# Ctrl-] x ends the machine; Ctrl-A is lucid's own.
			args+=(-chardev "stdio,id=port1,mux=on,signal=off" -echr 0x1d)
		else
			args+=(-chardev "file,id=port$port,path=$run/port$port,append=on")
		fi
		args+=(-device "isa-serial,chardev=port$port,index=$port")
	done
	[ "$disk" ] && args+=(-drive "file=$disk,format=raw,if=none,id=disk"
		-device "virtio-blk-pci,drive=disk")
	# shellcheck disable=SC2086 # words are what is wanted
	exec qemu-system-x86_64 "${args[@]}" $qemu_args
}

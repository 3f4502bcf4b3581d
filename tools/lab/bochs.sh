# SPDX-License-Identifier: GPL-2.0
#
# Lab back end: Bochs, an emulated PC with VMX or SVM. Sourced by lab; the
# contract is in README.md. One host thread, whatever the number of CPUs, and
# time is the count of instructions: the same run is the same each time.

# One disk serves both: what boots is in memory when the archive overwrites it.
backend_disk=/dev/sda
backend_modules="ata_piix sd_mod"

backend_boot_timeout=300
backend_timeout=600
backend_kill=KILL	# others it catches and goes on

# Instructions per second of the machine's own time: about what a host does, so
# that waits and time limits are as long inside as outside. The bench has its own.
bochs_ips=${LAB_BOCHS_IPS:-40000000}
bochs_bios=/usr/share/bochs/BIOS-bochs-latest

# Left out are self-tests and tables for tracing, a third of the boot; rodata=off
# leaves out a walk through all page tables. The TSC counts instructions,
# whatever the model's CPUID says of its frequency.
backend_append="tsc_early_khz=$((bochs_ips / 1000)) cryptomgr.notests rodata=off initcall_blacklist=trace_eval_init,init_kprobe_trace"

backend_check()
{
	local plugins="/usr/lib/*/bochs/plugins"

	# shellcheck disable=SC2086 # a pattern
	command -v bochs-bin > /dev/null && [ -e $bochs_bios ] && ls $plugins/libbx_term_gui.so > /dev/null 2>&1 ||
		die "Bochs is missing: apt-get install --no-install-recommends bochs bochs-term bochsbios"
	[ -z "$qemu_args" ] || die "--qemu: $machine_name is no QEMU"
	[ "$cpus" -le 8 ] || die "--cpus $cpus: $machine_name has 8 at most"
	# Its Intel CPUs have L1TF and no FLUSH_CMD: lucid.ko wants to be told.
	[ $machine_name = bochs-amd ] || backend_insmod="unsafe=1"
	case $machine_name in
	bochs-amd)	cpu=${cpu:-zambezi} ;;
	bochs-intel)	cpu=${cpu:-corei7_haswell_4770} ;;
	bochs-intel-x)	cpu=${cpu:-corei7_skylake_x}
			# It has no IBRS, which the kernel would warn of.
			backend_append+=" retbleed=off" ;;
	esac
	bytes=$(numfmt --from=iec "$mem" 2>/dev/null) && [ "$bytes" -ge $((128 << 20)) ] ||
		die "--mem $mem: not a size, or below 128M"
}

# The Bochs to run: one without the faults that bochs-fix tells of.
bochs_program()
{
	local bochs fixed
	bochs=$(command -v bochs-bin)
	fixed=$CACHE/bochs/bochs-$(cat "$bochs" "$LAB_DIR/bochs-fix" | sha256sum | cut -c 1-16)
	mkdir -p "$CACHE/bochs"
	if [ -x "$fixed" ] || "$LAB_DIR/bochs-fix" "$bochs" "$fixed" >&2; then
		echo "$fixed"
	else
		say "bochs-fix cannot do this Bochs: a guest that loops with IF clear will never be left"
		echo "$bochs"
	fi
}

# Boot $vmlinux with $initrd and $append; the four serial ports go to the files
# $run/port0..3; $disk, if set, is the machine's disk. Returns when the machine is
# off. A kernel that panics reboots; the boot sector then switches off.
backend_run()
{
	local own=$run/machine kernel=${vmlinux%/*} boot=${disk:-$run/machine/boot}
	local least size host port mode i bochs

	mkdir -p "$own" && cd "$own" || die "no place for $own"
	size=$(stat -c %s "$boot" 2>/dev/null)
	least=$("$LAB_DIR/bochs-image" "$kernel" "$initrd" "$boot" "$append") &&
		truncate -s ">${size:-0}" "$boot" || die "no boot disk for $kernel"
	bochs=$(bochs_program)
	# Bochs takes 2 GiB of ours at most; a guest may have more if it touches no more.
	host=$((bytes < 2 << 30 ? bytes : 2 << 30))
	[ "$bytes" -ge "$least" ] || die "--mem $mem is too little, it takes $((least >> 20))M"

	# Nobody looks at the screen, but Bochs will not be without a video BIOS:
	# signature, length, "retf" and a byte that makes the sum 0.
	{ printf '\125\252\1\313'; head -c 507 /dev/zero; printf '\65'; } > video

	{
		echo "config_interface: textconfig"
		echo "display_library: term"
		echo "cpu: model=$cpu, count=$cpus, ips=$bochs_ips, reset_on_triple_fault=0"
		echo "memory: guest=$((bytes >> 20)), host=$((host >> 20))"
		echo "romimage: file=$bochs_bios, options=fastboot"
		echo "vgaromimage: file=video"
		echo "pci: enabled=1, chipset=i440fx"
		echo "boot: disk"
		echo "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14"
		echo "ata0-master: type=disk, mode=flat, path=\"$boot\""
		for port in 0 1 2 3; do
			mode="mode=file, dev=\"$run/port$port\""
			[ $port = 1 ] && [ "$shell" ] && mode="mode=term, dev=$(tty)"
			echo "com$((port + 1)): enabled=1, $mode"
		done
		echo "clock: sync=none, time0=$([ "$icount" ] && echo 1767225600 || echo utc)"
		echo "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy"
		echo "speaker: enabled=0"
		# Power off is a "panic" as well. A guest under SVM that triple-faults
		# is one of CPUn, but goes on to be a #VMEXIT.
		echo "panic: action=fatal$(for ((i = 0; i < cpus; i++)); do printf ', cpu%d=report' $i; done)"
		echo "error: action=ignore"
		echo "info: action=ignore"
	} > bochsrc
	cp bochsrc "$run/bochsrc"
	# Debian's Bochs has a debugger, which waits for a command at the start and
	# where a triple fault is: go on.
	yes c | head -n 100000 > debugger
	# An alarm each second, for a figure that nobody sees, can hang it.
	# It is not to outlive the lab (our parent), however that ends.
	TERM=xterm exec setpriv --pdeathsig KILL env --block-signal=ALRM \
		"$bochs" -q -f bochsrc -rc debugger < /dev/null > "$run/emulator.log" 2>&1
}

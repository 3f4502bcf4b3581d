#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# lucid run --kernel with a real kernel and an initramfs of tools/lab/mkguest:
# $GUEST_KERNEL, $GUEST_INITRD, and $LUCID_DEV. TAP on stdout. A boot takes up
# to twenty seconds in the lab, so these are not in test.sh. Half of that is the
# kernel's unpacking itself: what is not about bzImages takes $GUEST_VMLINUX.
# $GUEST_CLOUD is the vmlinux of Debian's cloud flavour, for little memory.
#
# test-linux.sh [NAME...]: only the tests whose names have one of the words.

dir=$(cd "$(dirname "$0")" && pwd)
lucid=${LUCID:-$dir/lucid}
kernel=${GUEST_KERNEL:-/guest/vmlinuz}
vmlinux=${GUEST_VMLINUX:-/guest/vmlinux}
cloud=${GUEST_CLOUD:-/guest/vmlinux-cloud}
initrd=${GUEST_INITRD:-/guest/initrd}
dev=${LUCID_DEV:-/dev/lucid}
export LUCID_DEV="$dev"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0
well="guest is well"

result() # RESULT(0: good) NAME [MORE]
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2 # $took s"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $n $2"
	[ -z "$3" ] || echo "# $3"
	tail -n 25 "$tmp/out" | tr -d '\r' | sed 's/^/#   /'
}

wanted() # NAME
{
	[ "$only" ] || return 0
	for word in $only; do
		case $1 in *"$word"*) return 0 ;; esac
	done
	return 1
}

[ -r "$vmlinux" ] || vmlinux=$kernel

# Boot it; OPTIONS are the tool's, WORDS the kernel's.
run() # WORDS OPTIONS...
{
	words=$1
	shift
	began=$(date +%s)
	"$lucid" run --timeout 120 --kernel "$vmlinux" --initrd "$initrd" \
		--cmdline "console=ttyS0 quiet $words" "$@" \
		</dev/null >"$tmp/out" 2>&1
	got=$?
	took=$(($(date +%s) - began))
}

# ... and expect a status and a text in what it prints.
boots() # NAME STATUS TEXT WORDS OPTIONS...
{
	name=$1 want=$2 text=$3
	shift 3
	wanted "$name" || return
	run "$@"
	if [ $got != "$want" ]; then
		result 1 "$name" "status $got, not $want"
	elif ! grep -qF -- "$text" "$tmp/out"; then
		result 1 "$name" "it did not say: $text"
	else
		result 0 "$name"
	fi
}

only=$*
# Without interrupt controllers in the device there is one CPU only.
cpus2=
"$lucid" info --json --dev "$dev" | grep -q '"IRQCHIP"' && cpus2="--cpus 2"
t="--timeout 120"

# Each boot proves two things where it can: there is time for few.
name="bzImage to userspace, off by the exit port; --stats --json"
if wanted "$name"; then
	run "lucid.cpus=1 lucid.mem=400" --stats="$tmp/stats" --json --kernel "$kernel"
	[ $got = 0 ] && grep -q "$well" "$tmp/out" &&
		grep -q '"reason": *"io"' "$tmp/stats"
	result $? "$name" "status $got"
fi
boots "--irqchip off; a guest that is not well gives its status" 1 "not well" \
	lucid.test=fail --irqchip off
boots "nosmp; poweroff ends it with status 0" 0 "guest switched itself off" \
	"nosmp lucid.test=poweroff" $cpus2
boots "noapic; reboot ends it with status 0" 0 "guest asked for a reset" \
	"noapic lucid.test=reboot"
boots "acpi=off; reboot by the keyboard controller" 0 "guest asked for a reset" \
	"acpi=off lucid.test=reboot"
# The kernel itself wants 80 MiB (16 MiB and its init_size), the initrd comes behind.
boots "bzImage; nox2apic; 84 MiB" 0 "$well" nox2apic --mem 84M --kernel "$kernel"

# Debian's smallest kernel ends at 62 MiB and has 18 MiB for itself, half of which
# tracing would take for its files in tracefs: a guest of 64 MiB leaves that out.
# Its status tells nothing, for without /dev/port it can but switch itself off.
lean=initcall_blacklist=tracer_init_tracefs
boots "cloud kernel; 72 MiB" 0 "$well" "" --mem 72M --kernel "$cloud"
boots "cloud kernel; 64 MiB, without tracefs" 0 "$well" "$lean" \
	--mem 64M --kernel "$cloud"
boots "cloud kernel; 62 MiB, its own and no more: the initrd lies below" 0 "$well" \
	"$lean" --mem 62M --kernel "$cloud"

name="too little memory is told in one line"
if wanted "$name"; then
	run "" --mem 64M --kernel "$kernel"
	[ $got = 1 ] && [ "$(wc -l <"$tmp/out")" = 1 ] &&
		grep -q "$kernel: needs 80 MiB of memory" "$tmp/out"
	result $? "$name" "status $got"
fi

# No root, no initrd, no command line of ours.
name="without a root the kernel panics, and that is told"
if wanted "$name"; then
	began=$(date +%s)
	"$lucid" run $t --kernel "$kernel" </dev/null >"$tmp/out" 2>&1
	got=$?
	took=$(($(date +%s) - began))
	[ $got = 1 ] && grep -q "Unable to mount root" "$tmp/out" &&
		grep -q "lucid: guest stopped: its kernel panicked" "$tmp/out"
	result $? "$name" "status $got"
fi

# What is piped in reaches a shell, by the serial port's interrupts.
name="nolapic; a shell on the serial port"
if wanted "$name"; then
	began=$(date +%s)
	echo 'echo sum $((40 + 2)); echo n=$(grep -c ttyS0 /proc/interrupts); exit' |
		"$lucid" run $t --kernel "$vmlinux" --initrd "$initrd" \
		--cmdline "console=ttyS0 quiet nolapic lucid.shell" >"$tmp/out" 2>&1
	got=$?
	took=$(($(date +%s) - began))
	[ $got = 0 ] && grep -q "^sum 42" "$tmp/out" && grep -q "^n=1" "$tmp/out"
	result $? "$name" "status $got"
fi

# The guest's two clocks agree with each other and with ours, busy as it is.
name="${cpus2:+2 CPUs; }time passes at the right speed under load"
if wanted "$name"; then
	run "${cpus2:+lucid.cpus=2} lucid.test=clock lucid.seconds=60" $cpus2
	now=$(date +%s)
	[ $got = 0 ] && awk -v now="$now" '
		$1 == "clock" {
			if (!n++) { date = $2; up = $3 }
			off = ($2 - date) - ($3 - up)
			if (off > 1.5 || off < -1.5) bad = 1
			last = $2
		}
		END { exit !(last - date >= 45 && !bad && now - last < 6 && last - now < 3) }
	' "$tmp/out"
	result $? "$name" "status $got, now $now"
fi

# Memory above the hole. Nearly all of it is never touched.
name="4.5 GiB of memory"
if wanted "$name"; then
	mem=$(sed -n 's/MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	if [ "$mem" -gt $((4700 * 1024)) ]; then
		boots "$name" 0 "$well" "lucid.mem=4300" --mem 4608M
	else
		n=$((n + 1))
		echo "ok $n $name # SKIP this machine has too little"
	fi
fi

echo "1..$n"
[ $failed = 0 ]

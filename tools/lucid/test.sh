#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The tool's tests, TAP on stdout.  Runs wherever there is a shell (busybox is
# enough): in the lab with a device, $LUCID_DEV, and without one as far as the
# tool's own checks go.  $LUCID is the tool, if it is not beside this file.

dir=$(cd "$(dirname "$0")" && pwd)
lucid=${LUCID:-$dir/lucid}
guests=$dir/tests
pty=$dir/tests/pty
dev=${LUCID_DEV:-/dev/lucid}
export LUCID_DEV="$dev"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0

result() # RESULT(0: good) NAME [MORE]
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $n $2"
	[ -z "$3" ] || echo "# $3"
	sed 's/^/#   /' "$tmp/out" | head -20
}

# The tool with nothing to read: status and a text in what it prints.
expect() # NAME STATUS TEXT ARGS...
{
	name=$1 want=$2 text=$3
	shift 3
	"$lucid" "$@" </dev/null >"$tmp/out" 2>&1
	got=$?
	if [ $got != "$want" ]; then
		result 1 "$name" "status $got, not $want"
	elif [ "$text" ] && ! grep -qF -- "$text" "$tmp/out"; then
		result 1 "$name" "it did not say: $text"
	else
		result 0 "$name"
	fi
}

# Bad input: status 1, and one line that says TEXT.
refuse() # NAME TEXT ARGS...
{
	name=$1 text=$2
	shift 2
	"$lucid" "$@" </dev/null >"$tmp/out" 2>&1
	got=$?
	lines=$(wc -l <"$tmp/out")
	if [ $got != 1 ]; then
		result 1 "$name" "status $got, not 1"
	elif [ "$lines" != 1 ]; then
		result 1 "$name" "$lines lines, not 1"
	elif ! grep -qF -- "$text" "$tmp/out"; then
		result 1 "$name" "it did not say: $text"
	else
		result 0 "$name"
	fi
}

# The tool on a terminal, with a user.
on_terminal() # NAME STATUS STEPS... -- ARGS...
{
	name=$1 want=$2
	shift 2
	"$pty" "$@" >"$tmp/out" 2>&1
	got=$?
	[ $got = "$want" ]
	result $? "$name" "status $got, not $want"
}

### The command line

expect "lucid --help" 0 "usage: lucid COMMAND" --help
expect "lucid --version" 0 "lucid 0" --version
expect "lucid help run" 0 "--cmdline" help run
expect "lucid run --help" 0 "--timeout SECONDS" run --help
expect "lucid info --help" 0 "--json" info --help
expect "no command: usage and status 1" 1 "usage:"
refuse "unknown command" "'frob'" frob
refuse "unknown option of lucid" "'--frob'" --frob
refuse "unknown option of run" "'--frob'" run --frob x
refuse "unknown short option of run" "'-q'" run -q x
refuse "option without its argument" "'--mem'" run --mem
refuse "argument for an option that has none" "'--regs=1'" run --regs=1 x
refuse "no image" "no IMAGE" run
refuse "two images" "'b'" run a b
refuse "bad --mem" "'12Q'" run --mem 12Q x
refuse "too large a number in --mem" "--mem" run --mem 99999999999999999G x
refuse "too little --mem" "too little" run --mem 64K x
refuse "crooked --mem" "multiple" run --mem 1048577 x
refuse "bad --start" "'24'" run --start 24 x
refuse "bad --at" "'here'" run --at here x
refuse "bad --cpus" "'0'" run --cpus 0 x
refuse "bad --timeout" "'-3'" run --timeout -3 x
refuse "bad --format" "'coff'" run --format coff x
refuse "--format flat without --start" "--start" run --format flat x
refuse "bad --irqchip" "'maybe'" run --irqchip maybe x
refuse "--initrd without --kernel" "--kernel" run --initrd x y
refuse "--kernel and an image" "not both" run --kernel a b
refuse "--kernel and --start" "--start" run --kernel a --start 16
refuse "--kernel and --at" "--at" run --kernel a --at 2M
refuse "--kernel and --format" "--format" run --kernel a --format flat
refuse "unknown option of info" "'--frob'" info --frob

### Images that are none: no device is needed to say so

mb=$guests/multiboot.elf pvh=$guests/pvh.elf
poke() # FILE OFFSET BYTES(as printf has them)
{
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

refuse "missing file" "$tmp/none: No such file" run "$tmp/none"
refuse "a directory" "$tmp: is a directory" run "$tmp"
: >"$tmp/empty"
refuse "empty file" "$tmp/empty: is empty" run "$tmp/empty"
mkfifo "$tmp/fifo"
refuse "a FIFO" "$tmp/fifo: is not a regular file" run "$tmp/fifo"
refuse "a device" "/dev/null: is not a regular file" run /dev/null
echo "just some text" >"$tmp/text"
refuse "none of the formats" "$tmp/text: is none of the formats" run "$tmp/text"
printf '#!/bin/sh\n' >"$tmp/script"
refuse "a script" "a script" run "$tmp/script"
refuse "an ELF of neither kind" "neither a PVH note nor a multiboot" \
	run "$guests/plain.elf"
refuse "an ELF with --start" "for flat binaries" run --start 32 "$mb"
refuse "a flat binary with --format pvh" "not an ELF" \
	run --format pvh "$guests/halt.bin"
refuse "a multiboot image with --format pvh" "is a multiboot image" \
	run --format pvh "$mb"
refuse "several CPUs for multiboot" "local APIC" run --cpus 2 "$mb"
dd if="$mb" of="$tmp/cut" bs=20 count=1 2>/dev/null
refuse "an ELF cut in its header" "$tmp/cut: is a corrupt ELF" run "$tmp/cut"
dd if="$mb" of="$tmp/cut" bs=56 count=1 2>/dev/null
refuse "an ELF cut in its program headers" "$tmp/cut: " run "$tmp/cut"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 18 '\050'
refuse "an ELF for another CPU" "another kind of CPU" run "$tmp/bad"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 16 '\001'
refuse "an ELF object file" "not an executable" run "$tmp/bad"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 28 '\377\377\377\177'
refuse "an ELF whose headers lie nowhere" "$tmp/bad: " run "$tmp/bad"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 44 '\377\377'
refuse "an ELF with 65535 program headers" "$tmp/bad: " run "$tmp/bad"
i=0
while [ $i -lt 64 ]; do
	# every byte of the header, turned over: refused, or run to some end
	cp "$pvh" "$tmp/bad"; poke "$tmp/bad" $i '\377'
	"$lucid" run --dev /dev/null "$tmp/bad" >"$tmp/out" 2>&1 </dev/null
	[ $? = 1 ] && [ "$(wc -l <"$tmp/out")" = 1 ] || break
	i=$((i + 1))
done
[ $i = 64 ]
result $? "a PVH image with any byte of its header damaged" "byte $i"

### Linux kernels that are none

bz=$guests/linux.bin
linux() # NAME TEXT FILE: refused as --kernel
{
	refuse "$1" "$2" run --kernel "$3"
}
bad() # OFFSET BYTES: the good one with these, in $tmp/bad
{
	cp "$bz" "$tmp/bad"; poke "$tmp/bad" "$1" "$2"
}

linux "missing kernel" "No such file" "$tmp/none"
linux "a directory as kernel" "is a directory" "$tmp"
linux "an empty kernel" "is empty" "$tmp/empty"
linux "a FIFO as kernel" "is not a regular file" "$tmp/fifo"
linux "a text as kernel" "is no Linux bzImage: too short" "$tmp/text"
linux "a script as kernel" "looks like a script" "$tmp/script"
dd if=/dev/zero of="$tmp/zero" bs=1024 count=8 2>/dev/null
linux "zeroes as kernel" "is no Linux bzImage: its header is missing" "$tmp/zero"
linux "an ELF as kernel" "is an ELF file without a PVH note" "$mb"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 18 '\267'
linux "an arm64 ELF as kernel" "another kind of CPU" "$tmp/bad"
cp "$tmp/zero" "$tmp/bad"; poke "$tmp/bad" 0 MZ; poke "$tmp/bad" 56 'ARM\144'
linux "an arm64 Image as kernel" "is a kernel for arm64" "$tmp/bad"
poke "$tmp/bad" 56 'RSC\005'
linux "a RISC-V Image as kernel" "is a kernel for RISC-V" "$tmp/bad"
dd if="$bz" of="$tmp/bad" bs=300 count=1 2>/dev/null
linux "a bzImage cut before its header" "too short" "$tmp/bad"
dd if="$bz" of="$tmp/bad" bs=1100 count=1 2>/dev/null
linux "a bzImage cut in its kernel" "is truncated" "$tmp/bad"
bad 566 '\000'
linux "a 32-bit bzImage" "has no 64-bit entry" "$tmp/bad"
bad 518 '\013\002'
linux "a bzImage of an old kernel" "has no 64-bit entry" "$tmp/bad"
bad 529 '\000'
linux "a zImage" "is a zImage" "$tmp/bad"
bad 510 '\000'
linux "a bzImage without its boot flag" "its header is missing" "$tmp/bad"
for field in 560,alignment 600,address 608,size 584,payload; do
	bad ${field%,*} '\377\377\377\377'
	[ ${field#*,} != size ] || poke "$tmp/bad" 608 '\000\000\000\000'
	linux "a bzImage with an impossible ${field#*,}" "is a corrupt bzImage" "$tmp/bad"
done
i=497
while [ $i -lt 620 ]; do
	bad $i '\377'
	"$lucid" run --dev /dev/null --kernel "$tmp/bad" >"$tmp/out" 2>&1 </dev/null
	[ $? = 1 ] && [ "$(wc -l <"$tmp/out")" = 1 ] || break
	i=$((i + 1))
done
[ $i = 620 ]
result $? "a bzImage with any byte of its header damaged" "byte $i"
refuse "a bzImage without --kernel" "'lucid run --kernel' boots one" run "$bz"
refuse "missing initrd" "$tmp/none: No such file" \
	run --kernel "$bz" --initrd "$tmp/none"
refuse "a directory as initrd" "$tmp: is a directory" \
	run --kernel "$bz" --initrd "$tmp"
refuse "an empty initrd" "$tmp/empty: is empty" \
	run --kernel "$bz" --initrd "$tmp/empty"

### Devices that are none

halt="--start 16 $guests/halt.bin"
refuse "no device" "/dev/none" run --dev /dev/none $halt
refuse "info takes no argument" "takes no argument" info /dev/null
refuse "not KVM's ABI" "/dev/null: not a device that speaks" \
	run --dev /dev/null $halt
expect "lucid info" 0 "What to do" info
expect "lucid info without a device" 0 "not usable" info --dev /dev/none
expect "lucid info --json" 0 '"virtualization"' info --json
"$lucid" info >/dev/full 2>"$tmp/out"
[ $? = 1 ]
result $? "lucid info to a full disk"

if [ ! -r "$dev" ]; then
	n=$((n + 1))
	echo "ok $n # SKIP no $dev: the rest needs a device"
	echo "1..$n"
	[ $failed = 0 ]
	exit
fi

### Images of each format

t="--timeout 60"
expect "--start 16 at 0x7c00" 100 "" run $t --start 16 "$guests/start16.bin"
expect "--start 16 in a higher segment" 100 "" \
	run $t --start 16 --at 0x20010 "$guests/start16.bin"
expect "--start 32" 100 "" run $t --start 32 "$guests/start32.bin"
expect "--start 32 elsewhere" 100 "" \
	run $t --start 32 --at 2M --mem 3M "$guests/start32.bin"
expect "--start 64" 100 "" run $t --start 64 "$guests/start64.bin"
expect "multiboot, and its command line" 100 "multiboot.elf one  two" \
	run $t --cmdline "one  two" "$mb"
expect "PVH, and its command line" 100 "three four" \
	run $t --cmdline "three four" "$pvh"
expect "--format pvh" 100 "" run $t --format pvh "$pvh"
expect "the demo" 0 "All is well" run $t --start 16 "$dir/demo/demo.bin"
expect "the demo with 256M" 0 "0x100000-0xfffffff" \
	run $t --start 16 --mem 256M "$dir/demo/demo.bin"
expect "the demo with 3 MiB" 0 "2 MiB above" \
	run $t --start 16 --mem 3M "$dir/demo/demo.bin"
expect "several CPUs" 100 "" run $t --start 32 --cpus 4 "$guests/smp.bin"
expect "the devices' registers" 100 "" \
	run $t --start 64 "$guests/devices.bin"

expect "Linux's boot protocol" 100 "panic=-1 reboot=panic_warm" \
	run $t --kernel "$bz"
expect "... and its command line" 100 "four  five six" \
	run $t --kernel "$bz" --cmdline "four  five six"
expect "... and its initrd" 100 "just some text" \
	run $t --kernel "$bz" --initrd "$tmp/text"
expect "... and --irqchip off" 100 "one noapic nolapic" \
	run $t --kernel "$bz" --cmdline one --irqchip off
expect "--kernel with a PVH image" 100 "panic=-1" run $t --kernel "$pvh"
expect "... and its initrd" 100 "just some text" \
	run $t --kernel "$pvh" --initrd "$tmp/text"
expect "... in the least memory that will do" 100 "just some text" \
	run $t --mem 4104K --kernel "$bz" --initrd "$tmp/text"
if "$lucid" info --json --dev "$dev" | grep -q '"IRQCHIP"'; then
	expect "a flat binary with --irqchip on" 100 "" \
		run $t --irqchip on --start 32 "$guests/start32.bin"
	expect "several CPUs with --irqchip on" 100 "" \
		run $t --irqchip on --start 32 --cpus 4 "$guests/smp.bin"
	expect "--timeout with --irqchip on" 124 "its 1 s are over" \
		run --timeout 1 --irqchip on --cpus 2 $halt
	expect "PVH with --irqchip on" 100 "" run $t --irqchip on --cpus 2 "$pvh"
else
	refuse "--irqchip on without one" "has no interrupt controllers" \
		run --irqchip on --kernel "$bz"
fi

### Images that do not fit

refuse "too little memory for Linux" "linux.bin: needs 4 MiB of memory" \
	run --mem 3M --kernel "$bz"
# Both kernels lie at 2 MiB. Behind the first one there is nothing in 4 MiB,
# behind the other one less than 1 MiB in 3 MiB; below them there is 1 MiB.
cp "$tmp/text" "$tmp/mib"
dd if=/dev/zero of="$tmp/mib" bs=1 seek=1048575 count=1 conv=notrunc 2>/dev/null
expect "an initrd with room below the kernel only" 100 "just some text" \
	run $t --mem 4M --kernel "$bz" --initrd "$tmp/text"
expect "... for PVH, all the room there is" 100 "just some text" \
	run $t --mem 3M --kernel "$pvh" --initrd "$tmp/mib"
echo >>"$tmp/mib"
refuse "an initrd a byte larger than that" "mib: 1025 KiB do not fit" \
	run --mem 4M --kernel "$bz" --initrd "$tmp/mib"
refuse "... for PVH" "mib: 1025 KiB do not fit" \
	run --mem 3M --kernel "$pvh" --initrd "$tmp/mib"
dd if=/dev/zero of="$tmp/large" bs=1024 count=3000 2>/dev/null
refuse "an initrd larger than memory" "large: 3000 KiB do not fit" \
	run --mem 5M --kernel "$bz" --initrd "$tmp/large"
refuse "an initrd larger than memory, for PVH" "large: 3000 KiB do not fit" \
	run --mem 3M --kernel "$pvh" --initrd "$tmp/large"
refuse "a command line that Linux would not read" "the 255 characters that $bz takes" \
	run --kernel "$bz" --cmdline "$(head -c 256 /dev/zero | tr '\0' a)"
refuse "several CPUs for Linux with --irqchip off" "local APIC" \
	run --cpus 2 --irqchip off --kernel "$bz"

refuse "too little memory for a flat binary" "start16.bin: needs memory" \
	run --start 32 --at 64M "$guests/start16.bin"
refuse "too little memory for an ELF" "multiboot.elf: needs memory" \
	run --mem 1M "$mb"
refuse "over the boot area" "boot area" \
	run --start 16 --at 0x1000 "$guests/start16.bin"
refuse "over the page tables" "page tables" \
	run --start 64 --at 0x90000 "$guests/start64.bin"
refuse "16 bits above 1 MiB" "below 1 MiB" \
	run --start 16 --at 1M "$guests/start16.bin"
dd if=/dev/zero of="$tmp/large" bs=1024 count=3000 2>/dev/null
refuse "a file larger than memory" "large: needs memory" \
	run --start 32 --mem 2M "$tmp/large"
cp "$mb" "$tmp/bad"; dd if="$mb" of="$tmp/bad" bs=4200 count=1 2>/dev/null
refuse "an ELF cut in a segment" "$tmp/bad: is truncated" run "$tmp/bad"
cp "$mb" "$tmp/bad"; poke "$tmp/bad" 24 '\000\000\000\001'
refuse "an entry point outside" "entry point" run "$tmp/bad"
refuse "more memory than there is" "--mem" run --mem 900G $halt
long=$(head -c 5000 /dev/zero | tr '\0' a)
refuse "a command line too long" "--cmdline" run --cmdline "$long" $halt


# an "out" to the debug-exit port and much of nothing behind it
printf '\346\364' >"$tmp/huge"
dd if=/dev/zero of="$tmp/huge" bs=1M seek=79 count=1 conv=notrunc 2>/dev/null
expect "no progress where nobody looks" 68 "" \
	run $t --start 32 --mem 128M "$tmp/huge"
grep -q loading "$tmp/out"
[ $? = 1 ]
result $? "... and no word of it"
on_terminal "progress while a large file loads" 68 "+loading $tmp/huge: 100%" \
	-- "$lucid" run $t --start 32 --mem 128M "$tmp/huge"
rm "$tmp/huge"

### How guests end

printf '\346\364\364' >"$tmp/exit.bin"
expect "the man page's three bytes" 68 "" run $t --start 16 "$tmp/exit.bin"

expect "triple fault" 1 "guest stopped: triple fault" \
	run $t --start 32 "$guests/triple.bin"
printf '\260\376\346\144\364' >"$tmp/reset.bin"
expect "a reset by the keyboard controller" 0 "asked for a reset" \
	run $t --start 16 "$tmp/reset.bin"
expect "--regs" 1 "cr0 " run $t --regs --start 32 "$guests/triple.bin"
expect "halted with interrupts off" 1 "interrupts off" run $t $halt
expect "halted with all masked" 1 "nothing can wake it" \
	run $t --start 16 "$guests/haltif.bin"
expect "halted for input that has ended" 1 "nothing can wake it" \
	run $t --start 16 "$guests/echo.bin"
expect "halted for input that is not wanted" 1 "nothing can wake it" \
	run $t --no-stdin --start 16 "$guests/echo.bin"
expect "--timeout" 124 "its 1 s are over" \
	run --timeout 1 --start 16 "$guests/loop.bin"
expect "--timeout while halted" 124 "its 1 s are over" \
	run --timeout 1 --start 16 --cpus 2 "$guests/loop.bin"
expect "--trace-io" 100 "port 0x1234" \
	run $t --trace-io --start 32 "$guests/start32.bin"

for sig in INT TERM HUP QUIT; do
	"$lucid" run --start 16 "$guests/loop.bin" >"$tmp/out" 2>&1 </dev/null &
	pid=$!
	sleep 1
	kill -$sig $pid
	wait $pid
	got=$?
	case $sig in INT) want=130 ;; TERM) want=143 ;; HUP) want=129 ;; QUIT) want=131 ;; esac
	[ $got = $want ]
	result $? "SIG$sig ends it" "status $got, not $want"
done

"$lucid" run $t --start 16 "$guests/flood.bin" 2>"$tmp/out" </dev/null |
	head -c 2000 >/dev/null
grep -q "standard output: Broken pipe" "$tmp/out"
result $? "standard output goes away"
mkfifo "$tmp/full"
sleep 3 <"$tmp/full" &
"$lucid" run --timeout 1 --start 16 "$guests/flood.bin" \
	>"$tmp/full" 2>"$tmp/out" </dev/null
got=$?
[ $got = 124 ]
result $? "a full pipe does not keep it from ending" "status $got"
wait

### Input

head -c 3000 /dev/zero | tr '\0' 'z' >"$tmp/in"
printf 'THE END\001q' >>"$tmp/in"
"$lucid" run $t --start 16 "$guests/echo.bin" <"$tmp/in" >"$tmp/out" 2>&1
got=$?
{ echo ready; head -c 3008 "$tmp/in"; } | cmp -s - "$tmp/out" && [ $got = 7 ]
result $? "all of a file's bytes reach the guest, in order" "status $got"

echo="$lucid run $t --start 16 $guests/echo.bin"
on_terminal "keys reach the guest" 7 +ready %raw =hello +hello =q -- $echo
on_terminal "Ctrl-C is a key" 7 +ready '=\x03' "+$(printf '\003')" =q -- $echo
on_terminal "Ctrl-A x quits" 0 +ready %raw '=\x01x' +quit -- $echo
on_terminal "Ctrl-A x quits a guest that never listens" 0 %raw \
	'=some keys and more keys, more than the UART holds' '=\x01x' +quit \
	-- "$lucid" run $t --start 16 "$guests/loop.bin"
on_terminal "Ctrl-A h helps" 7 +ready '=\x01h' '+Ctrl-A x' =q -- $echo
on_terminal "Ctrl-A Ctrl-A sends Ctrl-A" 7 +ready '=\x01\x01' \
	"+$(printf '\001')" =q -- $echo
on_terminal "an error gives the terminal back" 1 \
	-- "$lucid" run $t --start 32 "$guests/triple.bin"
on_terminal "SIGTERM gives the terminal back" 143 +ready %raw '!15' -- $echo
on_terminal "a crash gives the terminal back" 139 +ready %raw '!11' -- $echo
on_terminal "abort gives the terminal back" 134 +ready %raw '!6' -- $echo
on_terminal "stop and continue" 7 +ready %raw '!20' %cooked '!18' %raw \
	=still +still =q -- $echo
on_terminal "--no-stdin leaves the terminal alone" 124 @500 %cooked \
	-- "$lucid" run --timeout 2 --no-stdin --start 16 "$guests/loop.bin"

### Statistics

expect "--stats" 100 "exits to the tool" \
	run $t --stats --start 32 "$guests/start32.bin"
"$lucid" run $t --stats="$tmp/stats" --json --start 16 "$dir/demo/demo.bin" \
	</dev/null >"$tmp/out" 2>&1
got=$?
cp "$tmp/stats" "$tmp/out"
[ $got = 0 ] && grep -q '"reason": *"io"' "$tmp/stats" &&
	grep -q '"status": *0' "$tmp/stats" && ! grep -q lucid: "$tmp/stats"
result $? "--stats=FILE --json" "status $got"
"$lucid" info --json >"$tmp/out" 2>&1
grep -q '"usable": *true' "$tmp/out" && grep -q '"USER_MEMORY"' "$tmp/out"
result $? "lucid info tells the device's capabilities"
refuse "--stats to nowhere" "$tmp/no/file: No such file" \
	run --stats="$tmp/no/file" $halt

echo "1..$n"
[ $failed = 0 ]

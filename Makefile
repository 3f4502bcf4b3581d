# SPDX-License-Identifier: GPL-2.0
# Lucid: build, run, check. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

# The kernel to build for: Debian's 6.1 or 6.12, fetched into .cache and
# needing no installation; or KDIR=, a kernel's build folder of your own.
# With LAB=host all is built for and run on this very machine.
ifdef KDIR
KVER ?= $(shell $(MAKE) -s --no-print-directory -C $(KDIR) kernelrelease)
else ifeq ($(LAB),host)
KVER := host
KDIR := /lib/modules/$(shell uname -r)/build
else
KVER ?= 6.1
KDIR := $(CURDIR)/.cache/kernel/$(KVER)/build
FETCH := fetch-kernel
endif

BUILD ?= $(CURDIR)/.cache/build/$(KVER)
PREFIX ?= /usr/local
# The demo guest: a flat binary that starts in real mode.
DEMO ?= tools/lucid/demo/demo.bin
LAB_RUN := tools/lab/lab --kernel $(KVER)

# Debian's kernels are built with gcc-12; elsewhere the default compiler serves.
# No BTF: it would need the kernel's vmlinux, and only say so each time.
KMAKE = $(MAKE) --no-print-directory -C $(KDIR) M=$(BUILD) W=1 \
	CONFIG_DEBUG_INFO_BTF_MODULES= $(if $(shell command -v gcc-12),,CC=$(CC))

all: module tool selftests

help:
	@echo "make                build lucid.ko, the tool and the selftests"
	@echo "make run            Debian's kernel as a guest in the lab; on a terminal, a shell in it"
	@echo "make demo           the small guest of the project's own"
	@echo "make check          all tests: host, builds, sparse, Lucid and KVM in the lab"
	@echo "make host-check     the host tests alone"
	@echo "make sparse         lucid.ko under sparse"
	@echo "make bench          what exits cost: KVM against Lucid, in QEMU and Bochs"
	@echo "make lab            a shell in a throwaway machine, lucid.ko loaded"
	@echo "make install        module, tool, man page and header; PREFIX, DESTDIR"
	@echo "make clean          remove what was built; distclean: downloads and logs too"
	@echo "make module | tool | selftests | deps   one part of it"
	@echo
	@echo "KVER=6.1|6.12       Debian kernel to build for and run (now $(KVER))"
	@echo "KDIR=DIR            build for the kernel whose build folder DIR is"
	@echo "LAB=MACHINE         qemu-svm, bochs-amd, bochs-intel, bochs-intel-x: the machine of run, demo, lab"
	@echo "LAB=host            build for and run on this machine itself (needs root)"

# Root gets missing packages installed, others are told which.
deps:
	@tools/deps

fetch-kernel: deps
	@tools/lab/fetch-kernel $(KVER)

# A mirror of links keeps the objects of each kernel apart and out of the
# source. One build at a time in each (the lock), whoever starts it.
define mirror
@mkdir -p $(BUILD)
@flock $(BUILD) sh -c 'cp -rsfu $(CURDIR)/Kbuild $(CURDIR)/kmod $(CURDIR)/uapi $(BUILD)/ && \
	find $(BUILD) -type l \( -xtype l -o ! -name "*.[chS]" ! -name Kbuild \) -delete'
endef

# Messages name the files of the source.
unmirror = 2>&1 | sed -u 's|$(BUILD)/||g'

module: deps $(FETCH)
	$(mirror)
	@+flock $(BUILD) $(KMAKE) modules $(unmirror)

sparse: deps $(FETCH)
	@command -v sparse > /dev/null || { echo "sparse is missing" >&2; exit 1; }
	$(mirror)
	@+flock $(BUILD) $(KMAKE) C=2 CF=-Wsparse-error modules $(unmirror)

tool: deps
	@$(MAKE) --no-print-directory -C tools/lucid

selftests: deps
	@$(MAKE) --no-print-directory -C selftests

# All of them, also after one has failed. The decoder is tested on the kernel.
host-check: deps $(FETCH)
	@$(MAKE) --no-print-directory -k -C selftests/host check

run: all
	@tools/lab/run-guest $(KVER)

demo: all
	@$(LAB_RUN) --load lucid --file $(DEMO):/demo.bin -- lucid run --start 16 /demo.bin

check: deps
	@tools/lab/check

bench: all
	@tools/lab/mkguest > /dev/null
	@selftests/bench/bench

lab: all
	@$(LAB_RUN) --load lucid --file selftests/bin:/selftests --file $(DEMO):/demo.bin --shell

# The module goes to the running kernel: build it with KDIR or LAB=host.
MODDIR = $(DESTDIR)/lib/modules/$(or $(RELEASE),$(shell uname -r))/extra
install:
	install -D -m 644 $(BUILD)/lucid.ko $(MODDIR)/lucid.ko
	$(MAKE) -C tools/lucid install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	install -D -m 644 uapi/linux/lucid.h $(DESTDIR)$(PREFIX)/include/linux/lucid.h
	$(if $(DESTDIR),,depmod $(or $(RELEASE),$(shell uname -r)))

clean:
	rm -rf .cache/build
	@for dir in tools/lucid selftests selftests/host selftests/bench; do \
		[ ! -f $$dir/Makefile ] || $(MAKE) --no-print-directory -C $$dir clean; \
	done

distclean: clean
	rm -rf .cache

.PHONY: all help deps fetch-kernel module sparse tool selftests host-check \
	run demo check bench lab install clean distclean

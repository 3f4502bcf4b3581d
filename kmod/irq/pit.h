/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The 8254 timer of a PC and the port 0x61 that gates its channel 2 (Intel
 * 8254 data sheet).
 *
 * Pure logic, no locks, no clock: callers give the time, in nanoseconds of any
 * monotonic clock. The owner serializes (timer.c: vm->irq.lock), arms a timer
 * for lucid_pit_next() and calls lucid_pit_advance() then.
 */
#ifndef LUCID_IRQ_PIT_H
#define LUCID_IRQ_PIT_H

#include <linux/kvm.h>
#include <linux/types.h>

#define LUCID_PIT_HZ		1193182
/* No channel 0 rate above this makes it to the host's timers. */
#define LUCID_PIT_MIN_PERIOD	200000ull	/* ns */

struct lucid_pit_channel {
	u32 count;		/* 1..65536, as loaded */
	u64 loaded;		/* ns: when counting began; U64_MAX: not since the control word */
	u16 latched;
	u8 latch_state;		/* bytes of @latched still to be read, and which */
	u8 status, status_latched;
	u8 read_state, write_state;
	u8 write_latch;
	u8 rw_mode, mode;	/* as in the control word; mode 0xff: never programmed */
	bool bcd, gate;
};

struct lucid_pit {
	struct lucid_pit_channel channel[3];
	bool speaker;		/* port 0x61 bit 1 */
	bool hpet_legacy;	/* KVM_PIT_FLAGS_HPET_LEGACY: no IRQ 0 from here */
	u64 next;		/* ns: channel 0's output rises next; U64_MAX never */
};

void lucid_pit_reset(struct lucid_pit *p, u64 now);

/* Ports 0x40..0x43, and 0x61. */

/**
 * lucid_pit_has_port - is @port the timer's?
 * @port: I/O port
 *
 * Return: true: lucid_pit_read() and lucid_pit_write() serve it.
 */
static inline bool lucid_pit_has_port(u16 port)
{
	return (port & ~3) == 0x40 || port == 0x61;
}

u8 lucid_pit_read(struct lucid_pit *p, u16 port, u64 now);
void lucid_pit_write(struct lucid_pit *p, u16 port, u8 value, u64 now);

/* When channel 0's output rises next (IRQ 0): ns, U64_MAX: never. Moves only by write, set, advance. */
static inline u64 lucid_pit_next(const struct lucid_pit *p)
{
	return p->next;
}

/*
 * lucid_pit_advance() - @now has come: how many rising edges are due?
 * Moves lucid_pit_next() past @now. Periods below LUCID_PIT_MIN_PERIOD are
 * stretched to it for the edges (what the guest reads of the counter is exact).
 */
u32 lucid_pit_advance(struct lucid_pit *p, u64 now);

/* KVM_GET_PIT2, KVM_SET_PIT2. Any image is safe to set; counting begins anew, as in KVM. */
void lucid_pit_get(const struct lucid_pit *p, struct kvm_pit_state2 *s, u64 now);
void lucid_pit_set(struct lucid_pit *p, const struct kvm_pit_state2 *s, u64 now);

#endif

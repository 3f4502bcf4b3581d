/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A running machine: its vCPUs (a thread each), its devices (under one lock),
 * and how it ends.
 *
 * The main thread serves what comes from outside (terminal, timer, signals).
 * A vCPU thread is either in KVM_RUN, or serves its own exit, or sleeps in
 * HLT until an interrupt is due or the machine is over.
 */
#ifndef LUCID_MACHINE_H
#define LUCID_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kbd.h"
#include "output.h"
#include "pic.h"
#include "pit.h"
#include "pm.h"
#include "rtc.h"
#include "serial.h"
#include "stats.h"
#include "vm.h"

#define INPUT_MAX	1024	/* keys typed ahead */

struct machine;

struct cpu {
	struct vcpu vcpu;
	struct machine *machine;
	pthread_t thread;
	bool halted;		/* under the lock: sleeps in HLT ... */
	bool if_flag;		/* ... with interrupts on */
	struct exit_stats stats;
	uint64_t slept_ns;	/* in HLT, in all */
};

struct machine {
	struct vm vm;
	struct cpu *cpus;
	unsigned int nr_cpus;

	pthread_mutex_t lock;	/* devices, and cpus' halted */
	pthread_cond_t wake;	/* an interrupt is due, there is room for output, or all is over */
	struct serial serial;
	struct pic pic;
	struct pit pit;
	uint64_t pit_seen;	/* rises of its output up to then were told */
	struct rtc rtc;
	struct kbd kbd;
	struct pm pm;
	struct output out;
	/* what came in and found no room in the UART yet */
	uint8_t input[INPUT_MAX];
	size_t input_head, input_count;
	bool input_open;	/* more may come */
	int timer_fd;		/* goes off when the PIT's output rises */
	int event_fd;		/* makes the main thread look again */

	bool timed;		/* --stats */
	bool trace_io;
	bool panic_marked;	/* a panic's reset is told from others */

	pthread_mutex_t end_lock;
	atomic_bool over;
	int status;		/* the tool's exit status */
	struct cpu *stopped;	/* the vCPU that could not go on, or NULL */
	char why[512];		/* one line, or empty */
};

/* After the VM's memory is there. */
void machine_init(struct machine *m);
/*
 * End the machine, from any thread and without sleeping long: the first
 * caller's status, vCPU and reason count.  @fmt NULL: there is nothing to say.
 */
void machine_end(struct machine *m, struct cpu *stopped, int status,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Make @cpu's KVM_RUN return soon. */
void cpu_kick(struct cpu *cpu);
/* cpu.c: the vCPU's thread */
void *cpu_thread(void *cpu);

/* The rest is called with the lock held. */

/* A byte from outside for the serial port; lost if too many wait. */
void machine_input(struct machine *m, uint8_t byte);
/* The devices changed: deliver what is due. */
void machine_update_irqs(struct machine *m);
void machine_timer_tick(struct machine *m);
/* Can an interrupt still come, by the timer or from outside? */
bool machine_irq_possible(const struct machine *m);
/* One byte's access to a port; false: nobody is there. */
bool machine_port_read(struct machine *m, uint16_t port, uint8_t *value);
bool machine_port_write(struct machine *m, struct cpu *cpu, uint16_t port,
			uint8_t value);

#endif

// SPDX-License-Identifier: GPL-2.0
/* The board: ports, interrupts, and the one way in which a machine ends. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <errno.h>

#include "boot.h"
#include "irqchip.h"
#include "lucid.h"
#include "machine.h"

#define NS	1000000000ull

#define PORT_POST	0x80	/* a PC's display of how far its BIOS came */
#define PORT_FAST_A20	0x92	/* bit 1: A20 is open; bit 0: reset */

/* Where a BIOS looks for how a reset was meant, and what Linux leaves there. */
#define BIOS_RESET_FLAG	0x472
#define RESET_WARM	0x1234

/* The wall clock, for the RTC. */
static int64_t utc_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * (int64_t)NS + ts.tv_nsec;
}

static void send_byte(void *arg, uint8_t byte)
{
	output_put(&((struct machine *)arg)->out, byte);
}

static void unread_byte(void *arg, uint8_t byte)
{
	struct machine *m = arg;

	if (m->input_count == INPUT_MAX)
		return;
	m->input_head = (m->input_head + INPUT_MAX - 1) % INPUT_MAX;
	m->input[m->input_head] = byte;
	m->input_count++;
}

void machine_init(struct machine *m)
{
	const uint64_t low = vm_mem_low(&m->vm);

	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->end_lock, NULL);
	pthread_cond_init(&m->wake, NULL);
	serial_init(&m->serial, send_byte, unread_byte, m);
	pic_init(&m->pic);
	pit_init(&m->pit);
	rtc_init(&m->rtc, low, m->vm.mem_size - low);
	kbd_init(&m->kbd);
	pm_init(&m->pm);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->timer_fd < 0 || m->event_fd < 0)
		die("no timer or event descriptor: %s", strerror(errno));
}

static void wake_main(struct machine *m)
{
	/* cannot fail in a way that matters: it wakes, or is awake already */
	if (eventfd_write(m->event_fd, 1))
		return;
}

void cpu_kick(struct cpu *cpu)
{
	/*
	 * Not in KVM_RUN yet: immediate_exit makes it return at once.  In it:
	 * the signal does.  In between there is no gap.
	 */
	__atomic_store_n(&cpu->vcpu.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(cpu->thread, SIGRTMIN);
}

void machine_end(struct machine *m, struct cpu *stopped, int status,
		 const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&m->end_lock);
	if (!m->over) {
		m->status = status;
		m->stopped = stopped;
		if (fmt) {
			va_start(ap, fmt);
			vsnprintf(m->why, sizeof(m->why), fmt, ap);
			va_end(ap);
		}
		m->over = true;
	}
	pthread_mutex_unlock(&m->end_lock);
	wake_main(m);
}

static void arm_timer(struct machine *m)
{
	/* one that is past already, and not told yet, goes off at once */
	uint64_t at = pit_next_rise(&m->pit, m->pit_seen);
	struct itimerspec spec = {
		.it_value = { .tv_sec = at / NS, .tv_nsec = at % NS },
	};

	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void machine_timer_tick(struct machine *m)
{
	uint64_t now = now_ns(), at = pit_next_rise(&m->pit, m->pit_seen);

	/* else the guest has set it anew since it went off */
	if (at && at <= now) {
		/* Ticks that were missed are lost, as by a CPU that slept. */
		pic_set_line(&m->pic, PIT_IRQ, false);
		pic_set_line(&m->pic, PIT_IRQ, true);
		m->pit_seen = now;
	}
	arm_timer(m);
	machine_update_irqs(m);
}

void machine_input(struct machine *m, uint8_t byte)
{
	if (m->input_count == INPUT_MAX)
		return;
	m->input[(m->input_head + m->input_count++) % INPUT_MAX] = byte;
}

/* Move what waits into the UART, as far as there is room. */
static void feed_serial(struct machine *m)
{
	if (!m->input_count)
		return;
	while (m->input_count &&
	       serial_receive(&m->serial, m->input[m->input_head])) {
		m->input_head = (m->input_head + 1) % INPUT_MAX;
		m->input_count--;
	}
	/* the main thread reads on when all is gone */
	if (!m->input_count)
		wake_main(m);
}

void machine_update_irqs(struct machine *m)
{
	feed_serial(m);
	if (m->vm.irqchip) {
		irqchip_set_line(&m->vm, SERIAL_IRQ, serial_irq(&m->serial));
		return;
	}
	pic_set_line(&m->pic, SERIAL_IRQ, serial_irq(&m->serial));
	if (!pic_pending(&m->pic))
		return;
	/* the PICs' output is wired to the first CPU */
	if (m->cpus[0].halted)
		pthread_cond_broadcast(&m->wake);
	else if (!pthread_equal(pthread_self(), m->cpus[0].thread))
		cpu_kick(&m->cpus[0]);
}

bool machine_irq_possible(const struct machine *m)
{
	if (pic_pending(&m->pic))
		return true;
	if (pic_enabled(&m->pic, PIT_IRQ) && pit_next_rise(&m->pit, m->pit_seen))
		return true;
	return pic_enabled(&m->pic, SERIAL_IRQ) &&
	       serial_irq_on_input(&m->serial) &&
	       (m->input_open || (m->input_count && serial_room(&m->serial)));
}

static void pit_changed(struct machine *m, uint64_t now)
{
	/* A new count?  A latched one changes nothing that is still to come. */
	if (m->pit.channel[0].start == now)
		m->pit_seen = now;
	/* a one-shot count (modes 0, 1) begins with its output low */
	if (!pit_output(&m->pit, 0, now))
		pic_set_line(&m->pic, PIT_IRQ, false);
	arm_timer(m);
}

static void reset(struct machine *m, struct cpu *cpu)
{
	const uint16_t *flag = vm_ram(&m->vm, BIOS_RESET_FLAG, sizeof(*flag));

	if (m->panic_marked && flag && *flag == RESET_WARM)
		machine_end(m, cpu, STATUS_ERROR,
			    "guest stopped: its kernel panicked (its console says why)");
	else
		machine_end(m, NULL, STATUS_OK, "guest asked for a reset");
}

static void power(struct machine *m, struct cpu *cpu, enum pm_action action)
{
	if (action == PM_DO_RESET)
		reset(m, cpu);
	else if (action == PM_OFF)
		machine_end(m, NULL, STATUS_OK, "guest switched itself off");
}

bool machine_port_read(struct machine *m, uint16_t port, uint8_t *value)
{
	switch (port) {
	case 0x20: case 0x21:
		*value = pic_read(&m->pic, 0, port & 1);
		break;
	case 0xa0: case 0xa1:
		*value = pic_read(&m->pic, 1, port & 1);
		break;
	case 0x4d0: case 0x4d1:
		*value = m->pic.chip[port & 1].level;
		return true;
	case 0x40: case 0x41: case 0x42: case 0x43:
		*value = pit_read(&m->pit, port, now_ns());
		return true;
	case 0x61:
		*value = pit_read_61(&m->pit, now_ns());
		return true;
	case PORT_DEBUG_CON:
		*value = PORT_DEBUG_CON;	/* "I am here" */
		return true;
	case SERIAL_BASE ... SERIAL_BASE + 7:
		*value = serial_read(&m->serial, port - SERIAL_BASE);
		break;
	case RTC_INDEX: case RTC_DATA:
		*value = rtc_read(&m->rtc, port, utc_ns());
		return true;
	case KBD_DATA: case KBD_STATUS:
		*value = kbd_read(&m->kbd, port);
		return true;
	case PORT_FAST_A20:
		*value = 0x02;
		return true;
	case PORT_POST:
		*value = 0xff;
		return true;
	case PM_BASE ... PM_BASE + PM_SIZE - 1:
		*value = pm_read(&m->pm, port, now_ns());
		return true;
	default:
		*value = 0xff;
		return false;
	}
	machine_update_irqs(m);
	return true;
}

bool machine_port_write(struct machine *m, struct cpu *cpu, uint16_t port,
			uint8_t value)
{
	uint64_t now;

	switch (port) {
	case 0x20: case 0x21:
		pic_write(&m->pic, 0, port & 1, value);
		break;
	case 0xa0: case 0xa1:
		pic_write(&m->pic, 1, port & 1, value);
		break;
	case 0x4d0: case 0x4d1:
		pic_set_elcr(&m->pic, port & 1, value);
		break;
	case 0x40: case 0x41: case 0x42: case 0x43:
		now = now_ns();
		pit_write(&m->pit, port, value, now);
		if (port == 0x40 || port == 0x43)
			pit_changed(m, now);
		break;
	case 0x61:
		pit_write_61(&m->pit, value, now_ns());
		return true;
	case PORT_DEBUG_CON:
		send_byte(m, value);
		return true;
	case PORT_DEBUG_EXIT:
		machine_end(m, NULL, value, NULL);
		return true;
	case RTC_INDEX: case RTC_DATA:
		rtc_write(&m->rtc, port, value, utc_ns());
		return true;
	case KBD_DATA: case KBD_STATUS:
		if (kbd_write(&m->kbd, port, value))
			reset(m, cpu);
		return true;
	case PORT_FAST_A20:
		if (value & 1)
			reset(m, cpu);
		return true;
	case PORT_POST:
		return true;
	case PM_BASE ... PM_BASE + PM_SIZE - 1:
		power(m, cpu, pm_write(&m->pm, port, value));
		return true;
	case SERIAL_BASE ... SERIAL_BASE + 7:
		serial_write(&m->serial, port - SERIAL_BASE, value);
		break;
	default:
		return false;
	}
	machine_update_irqs(m);
	return true;
}

// SPDX-License-Identifier: GPL-2.0
/* FXRSTOR for ever: what disturbs a guest on QEMU's CPU 0 (README.md, qemu-svm.sh). */
int main(void)
{
	static unsigned char area[512] __attribute__((aligned(16)));

	asm volatile("fxsave %0" : "=m"(area));
	for (;;)
		asm volatile("fxrstor %0" : : "m"(area));
}

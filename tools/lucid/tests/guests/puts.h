/* SPDX-License-Identifier: GPL-2.0 */
/* puts: the string at ESI to the serial port; in 32-bit code */
puts:	lodsb
	testb	%al, %al
	jz	1f
	movw	$COM1, %dx
	outb	%al, %dx
	jmp	puts
1:	ret

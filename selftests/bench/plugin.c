// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU TCG plugin that counts what the lab machine's kernel executes between
 * the bench client's two marker instructions: instructions by class, the expensive
 * ones by kind and, for a profile, each instruction by its address.
 *
 *   -plugin plugin.so,out=FILE[,profile=on]
 *
 * FILE gets a line per batch, in the client's order:
 *
 *   batch SEQ kernel=N user=N guest=N [KIND=N]...
 *
 * and with profile=on, per kernel instruction that was executed in the batch:
 *
 *   at ADDRESS COUNT [KIND]
 *
 * Kernel, user and guest are told apart by address: the guest's code lies between
 * GUEST_LOW and GUEST_HIGH (bench.h), where neither of the others has any. Nothing
 * is built into the kernel for this, so every module is counted the same way.
 *
 * QEMU 7.2 exports its plugin API, but Debian has no header for it; what is used
 * of it is declared here (API version 1).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- QEMU's plugin API, as far as used ---- */

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
typedef struct qemu_info_t qemu_info_t;

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_W = 2 };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
	void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
	void (*cb)(unsigned int vcpu, void *data), enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
	enum qemu_plugin_op op, void *ptr, uint64_t imm);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
	void (*cb)(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data),
	enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw, void *data);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *addr);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
			       int argc, char **argv);

/* ---- what is counted ---- */

#define KERNEL_LOW	0xffff800000000000ULL
#define GUEST_LOW	0x10000000ULL
#define GUEST_HIGH	0x40000000ULL

#define MARK_BEGIN	0x4c756301u
#define MARK_END	0x4c756302u

/* The APIC's interrupt command register, low half: writing it sends an IPI. */
#define APIC_ICR	0xfee00300ULL

/* X(name): kinds of expensive instructions, in the order of the output. */
#define KINDS(X) \
	X(rdmsr) X(wrmsr) X(xsave) X(xrstor) X(locked) X(inv) X(ipi) \
	X(vmrun) X(vmload) X(vmsave) X(clgi) X(stgi) X(vmread) X(vmwrite) \
	X(cpuid) X(xsetbv) X(movcr) X(movdr) X(swapgs) X(fence) X(verw) \
	X(wbinvd) X(rdtsc) X(iret)

enum kind {
	NONE,
#define X(name) KIND_##name,
	KINDS(X)
#undef X
	N_KINDS
};

static const char *const kind_names[N_KINDS] = {
	"",
#define X(name) #name,
	KINDS(X)
#undef X
};

enum class { KERNEL, USER, GUEST, N_CLASSES };

/* Updated by the code that QEMU generates. */
static uint64_t kinds[N_KINDS], classes[N_CLASSES];

/* One for each kernel instruction that was ever translated; open addressing. */
struct site {
	uint64_t addr;
	uint64_t count;
	uint64_t kind;
};

#define SITE_BITS	22
static struct site sites[1u << SITE_BITS];
static unsigned int n_sites;

static bool profile, in_batch;
static unsigned int seq;
static FILE *out;

static struct site *site_of(uint64_t addr)
{
	unsigned int i = (addr * 0x9e3779b97f4a7c15ULL) >> (64 - SITE_BITS);

	while (sites[i].addr && sites[i].addr != addr)
		i = (i + 1) & ((1u << SITE_BITS) - 1);
	if (!sites[i].addr) {
		if (++n_sites > 3u << (SITE_BITS - 2)) {
			fputs("bench plugin: too many instructions to profile\n", stderr);
			exit(1);
		}
		sites[i].addr = addr;
	}
	return &sites[i];
}

static void begin(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	memset(kinds, 0, sizeof(kinds));
	memset(classes, 0, sizeof(classes));
	if (profile)
		for (size_t i = 0; i < 1u << SITE_BITS; i++)
			sites[i].count = 0;
	in_batch = true;
}

static void end(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	if (!in_batch)
		return;
	in_batch = false;
	fprintf(out, "batch %u kernel=%" PRIu64 " user=%" PRIu64 " guest=%" PRIu64, seq++,
		classes[KERNEL], classes[USER], classes[GUEST]);
	for (int i = NONE + 1; i < N_KINDS; i++)
		if (kinds[i])
			fprintf(out, " %s=%" PRIu64, kind_names[i], kinds[i]);
	fputc('\n', out);
	for (size_t i = 0; profile && i < 1u << SITE_BITS; i++)
		if (sites[i].count)
			fprintf(out, "at %" PRIx64 " %" PRIu64 " %s\n", sites[i].addr,
				sites[i].count, kind_names[sites[i].kind]);
	fflush(out);
}

static void apic_write(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	struct qemu_plugin_hwaddr *addr = qemu_plugin_get_hwaddr(info, vaddr);

	(void)vcpu;
	(void)data;
	if (addr && qemu_plugin_hwaddr_phys_addr(addr) == APIC_ICR)
		kinds[KIND_ipi]++;
}

/* ---- instructions by their bytes ---- */

/* An instruction with its prefixes taken off. */
struct insn {
	bool lock, opsize, rep;		/* prefixes F0, 66, F3 */
	uint8_t op[4];			/* opcode and what follows, zero-padded */
	uint32_t disp;			/* disp32, 0 if there is none */
};

static bool parse(struct insn *insn, const uint8_t *p, size_t size)
{
	const uint8_t *stop = p + size;

	memset(insn, 0, sizeof(*insn));
	for (; p < stop; p++) {
		if (*p == 0xf0)
			insn->lock = true;
		else if (*p == 0x66)
			insn->opsize = true;
		else if (*p == 0xf3)
			insn->rep = true;
		else if (*p != 0xf2 && *p != 0x67 && *p != 0x2e && *p != 0x36 && *p != 0x3e &&
			 *p != 0x26 && *p != 0x64 && *p != 0x65 && (*p & 0xf0) != 0x40)
			break;
	}
	if (p == stop)
		return false;
	memcpy(insn->op, p, (size_t)(stop - p) < sizeof(insn->op) ? (size_t)(stop - p)
								   : sizeof(insn->op));
	/* A one-byte opcode's ModRM, SIB and displacement. */
	if (stop - p >= 6) {
		int mod = p[1] >> 6, rm = p[1] & 7, at = 2 + (rm == 4);

		if ((mod == 2 || (mod == 0 && (rm == 4 || rm == 5))) && stop - p >= at + 4)
			memcpy(&insn->disp, p + at, 4);
	}
	return true;
}

/* 0F AE and 0F C7 with a memory operand: the state-saving groups. */
static enum kind state_group(uint8_t op, int reg)
{
	static const uint8_t ae[8] = {
		[0] = KIND_xsave, [1] = KIND_xrstor,		/* FXSAVE, FXRSTOR */
		[4] = KIND_xsave, [5] = KIND_xrstor, [6] = KIND_xsave,
	};
	static const uint8_t c7[8] = {
		[3] = KIND_xrstor, [4] = KIND_xsave, [5] = KIND_xsave,
	};

	return op == 0xae ? ae[reg] : c7[reg];
}

static enum kind group_0f01(uint8_t modrm)
{
	if (modrm < 0xc0)
		return (modrm >> 3 & 7) == 7 ? KIND_inv : NONE;		/* INVLPG */
	switch (modrm) {
	case 0xc2:	/* VMLAUNCH */
	case 0xc3:	/* VMRESUME */
	case 0xd8:	return KIND_vmrun;
	case 0xda:	return KIND_vmload;
	case 0xdb:	return KIND_vmsave;
	case 0xdc:	return KIND_stgi;
	case 0xdd:	return KIND_clgi;
	case 0xdf:	return KIND_inv;	/* INVLPGA */
	case 0xd1:	return KIND_xsetbv;
	case 0xf8:	return KIND_swapgs;
	case 0xf9:	return KIND_rdtsc;	/* RDTSCP */
	}
	return NONE;
}

static enum kind classify(const struct insn *insn)
{
	const uint8_t *op = insn->op;
	uint8_t modrm;

	if (insn->lock)
		return KIND_locked;
	if (op[0] != 0x0f) {
		if ((op[0] == 0x86 || op[0] == 0x87) && op[1] < 0xc0)
			return KIND_locked;	/* XCHG with memory */
		return op[0] == 0xcf ? KIND_iret : NONE;
	}
	modrm = op[2];
	switch (op[1]) {
	case 0x00:	return (modrm >> 3 & 7) == 5 ? KIND_verw : NONE;
	case 0x01:	return group_0f01(modrm);
	case 0x08:	/* INVD */
	case 0x09:	return KIND_wbinvd;
	case 0x20:
	case 0x22:	return KIND_movcr;
	case 0x21:
	case 0x23:	return KIND_movdr;
	case 0x30:	return KIND_wrmsr;
	case 0x31:	return KIND_rdtsc;
	case 0x32:	return KIND_rdmsr;
	case 0x38:	/* INVEPT, INVVPID, INVPCID */
		return insn->opsize && op[2] >= 0x80 && op[2] <= 0x82 ? KIND_inv : NONE;
	case 0x78:	return KIND_vmread;
	case 0x79:	return KIND_vmwrite;
	case 0xa2:	return KIND_cpuid;
	case 0xae:
		if (modrm >= 0xc0)
			return modrm >= 0xe8 && !insn->rep ? KIND_fence : NONE;
		/* With 66 (CLWB) or F3 (CET's) they are something else. */
		return insn->rep || insn->opsize ? NONE : state_group(0xae, modrm >> 3 & 7);
	case 0xc7:
		return modrm < 0xc0 ? state_group(0xc7, modrm >> 3 & 7) : NONE;
	}
	return NONE;
}

/* A 32-bit store to the kernel's fixed mapping of devices, near the end of memory. */
static bool may_be_apic(const struct insn *insn)
{
	return (insn->op[0] == 0x89 || insn->op[0] == 0xc7) && insn->disp >= 0xff000000u;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *handle = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *bytes = qemu_plugin_insn_data(handle);
		size_t size = qemu_plugin_insn_size(handle);
		uint64_t addr = qemu_plugin_insn_vaddr(handle);
		enum class class = addr >= KERNEL_LOW ? KERNEL :
				   addr >= GUEST_LOW && addr < GUEST_HIGH ? GUEST : USER;
		enum kind kind = NONE;
		struct insn insn;

		if (class == USER && size == 8 && !memcmp(bytes, "\x0f\x1f\x84\x00", 4)) {
			uint32_t magic;

			memcpy(&magic, bytes + 4, 4);
			if (magic == MARK_BEGIN || magic == MARK_END)
				qemu_plugin_register_vcpu_insn_exec_cb(handle,
					magic == MARK_BEGIN ? begin : end,
					QEMU_PLUGIN_CB_NO_REGS, NULL);
		}
		qemu_plugin_register_vcpu_insn_exec_inline(handle, QEMU_PLUGIN_INLINE_ADD_U64,
							   &classes[class], 1);
		if (class != KERNEL)
			continue;
		if (parse(&insn, bytes, size)) {
			kind = classify(&insn);
			if (may_be_apic(&insn))
				qemu_plugin_register_vcpu_mem_cb(handle, apic_write,
					QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W, NULL);
		}
		if (kind != NONE)
			qemu_plugin_register_vcpu_insn_exec_inline(handle,
				QEMU_PLUGIN_INLINE_ADD_U64, &kinds[kind], 1);
		if (profile) {
			struct site *site = site_of(addr);

			site->kind = kind;
			qemu_plugin_register_vcpu_insn_exec_inline(handle,
				QEMU_PLUGIN_INLINE_ADD_U64, &site->count, 1);
		}
	}
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "we");
		else if (!strcmp(argv[i], "profile=on"))
			profile = true;
		else
			fprintf(stderr, "bench plugin: argument %s?\n", argv[i]);
	}
	if (!out) {
		fputs("bench plugin: out=FILE is needed\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}

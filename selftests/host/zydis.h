/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The decoder against Zydis, an independent disassembler (Debian's libzydis-dev):
 * validity, length and every field that both have.
 *
 * Where the two may differ: in validity, known_difference() says it all; in a field,
 * it is said beside its comparison.
 */
#ifndef LUCID_HOST_ZYDIS_H
#define LUCID_HOST_ZYDIS_H

#include <Zydis/Zydis.h>
#include <string.h>

#include "decode.h"
#include "tap.h"

#define MAX_SHOWN	20

static const char *const mode_name[] = { "16", "32", "64" };

static ZydisDecoder zydis[3][2];	/* by mode and vendor (1: AMD) */

/* What came out of all comparisons so far. */
static struct {
	u64 compared, valid, fields_only, knc, lock_cr0, differ;
} cmp;

/* Whether registers are compared too (which costs time). */
static bool cmp_operands;

static void zydis_init(void)
{
	static const ZydisMachineMode machine[] = {
		ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32,
		ZYDIS_MACHINE_MODE_LONG_64
	};
	static const ZydisStackWidth stack[] = {
		ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64
	};
	int mode, amd;

	for (mode = 0; mode < 3; mode++) {
		for (amd = 0; amd < 2; amd++) {
			ZydisDecoder *d = &zydis[mode][amd];

			ZydisDecoderInit(d, machine[mode], stack[mode]);
			ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, amd);
			/* without MPX, as on every CPU today: its opcodes are NOPs */
			ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
		}
	}
}

/* Length that Zydis finds, 0 where it says that there is no instruction. */
static unsigned int zydis_length(ZydisDecodedInstruction *z, const u8 *bytes,
				 unsigned int avail, unsigned int mode, unsigned int flags)
{
	ZydisDecoder *d = &zydis[mode][!!(flags & LUCID_INSN_AMD)];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(d, NULL, bytes, avail, z)))
		return 0;
	return z->length;
}

/*
 * Zydis refuses a VEX, XOP or EVEX instruction that we take. Would it take the
 * same bytes with other values in those fields that decode.h says we do not
 * check (W, L, vvvv, the third EVEX byte, and which operands may be memory)?
 * Then only they are at fault. Returns the length that Zydis gives with the
 * same ModRM byte, ours if it takes another one only, 0 if it takes none.
 */
static unsigned int zydis_with_other_fields(const struct lucid_insn *insn)
{
	unsigned int at = insn->opcode_off, mode = insn->mode, tries, modrm;
	bool evex = insn->encoding == LUCID_ENC_EVEX;
	bool c5 = !evex && insn->bytes[at - 2] == 0xc5;
	ZydisDecodedInstruction z;
	u8 b[32];

	for (modrm = 0; modrm < 257; modrm++) {
		/* gathers need a SIB byte, which 16-bit addressing does not have */
		if (modrm == 1 && insn->addrsize == 2)
			mode = insn->mode == LUCID_INSN_16 ? LUCID_INSN_32 : LUCID_INSN_16;
		for (tries = 0; tries < (evex ? 512 : 32); tries++) {
			static const u8 vvvv[] = { 0x00, 0x78, 0x50, 0x48 };
			u8 *p1 = b + at - (evex ? 2 : 1);
			u8 *p0 = c5 ? p1 : p1 - 1;
			unsigned int len;

			memset(b, 0, sizeof(b));
			memcpy(b, insn->bytes, insn->len);
			if (modrm && at + 1 < insn->len)
				b[at + 1] = modrm - 1;

			if (tries & 3)		/* else as it is */
				*p1 = (*p1 & 0x87) | vvvv[tries & 3];
			if (!c5)		/* W */
				*p1 = (*p1 & 0x7f) | (tries & 4 ? 0x80 : 0);
			if (tries & 8)		/* no register above 7 */
				*p0 |= c5 ? 0x80 : evex ? 0xf0 : 0xe0;
			if (evex)		/* z = b = 0; V', L'L, one bit of aaa */
				b[at - 1] = (tries & 16 ? 0x08 : 0) | (tries >> 5 & 3) << 5 |
					    (tries & 128 ? 1 : 0) | (tries & 256 ? 0x10 : 0);
			else			/* L */
				*p1 = (*p1 & 0xfb) | (tries & 16 ? 4 : 0);
			len = zydis_length(&z, b, sizeof(b), mode, insn->flags);
			if (len)
				return modrm ? insn->len : len;
		}
	}
	return 0;
}

enum verdict { FIELDS_ONLY, KNC, LOCK_CR0, DIFFERENT };

/* All the ways in which the two may differ; each is explained. */
static enum verdict known_difference(int ours, const struct lucid_insn *insn,
				     const ZydisDecodedInstruction *z, unsigned int theirs)
{
	/*
	 * 1. VEX, XOP and EVEX: the opcode exists, its fields are wrong. They
	 *    have no influence on the length, so they are not checked here; the
	 *    CPU raises #UD by itself before a hypervisor sees them.
	 */
	if (ours > 0 && !theirs && insn->encoding != LUCID_ENC_LEGACY)
		return zydis_with_other_fields(insn) == (unsigned int)ours ?
			FIELDS_ONLY : DIFFERENT;

	/*
	 * 2. Knights Corner (an accelerator without virtualization) had VEX
	 *    instructions of its own, in places that are undefined elsewhere.
	 */
	if (ours == -LUCID_INSN_INVALID && theirs)
		switch (z->meta.isa_set) {
		case ZYDIS_ISA_SET_KNCE:
		case ZYDIS_ISA_SET_KNCJKBR:
		case ZYDIS_ISA_SET_KNCSTREAM:
		case ZYDIS_ISA_SET_KNCV:
		case ZYDIS_ISA_SET_KNC_MISC:
		case ZYDIS_ISA_SET_KNC_PF_HINT:
			return KNC;
		default:
			break;
		}

	/* 3. LOCK MOV CR0, which is CR8 on AMD, Zydis does not know. */
	if (ours > 0 && !theirs && insn->flags & LUCID_INSN_AMD &&
	    insn->prefixes & LUCID_PFX_LOCK && lucid_insn_cr(insn) == 8 &&
	    (lucid_insn_is(insn, LUCID_I_MOV_TO_CR) || lucid_insn_is(insn, LUCID_I_MOV_FROM_CR)))
		return LOCK_CR0;
	return DIFFERENT;
}

/* The first field in which the two differ, or NULL. */
static const char *different_field(const struct lucid_insn *insn,
				   const ZydisDecodedInstruction *z)
{
	u64 imm_mask = insn->imm_size == 8 ? ~0ull : (1ull << (8 * insn->imm_size)) - 1;
	static const u8 encodings[] = {
		[ZYDIS_INSTRUCTION_ENCODING_LEGACY] = LUCID_ENC_LEGACY,
		[ZYDIS_INSTRUCTION_ENCODING_3DNOW] = LUCID_ENC_LEGACY,
		[ZYDIS_INSTRUCTION_ENCODING_XOP] = LUCID_ENC_XOP,
		[ZYDIS_INSTRUCTION_ENCODING_VEX] = LUCID_ENC_VEX,
		[ZYDIS_INSTRUCTION_ENCODING_EVEX] = LUCID_ENC_EVEX,
		[ZYDIS_INSTRUCTION_ENCODING_MVEX] = 0xff,
	};
	static const u8 maps[] = {
		[ZYDIS_OPCODE_MAP_DEFAULT] = LUCID_MAP_ONE, [ZYDIS_OPCODE_MAP_0F] = LUCID_MAP_0F,
		[ZYDIS_OPCODE_MAP_0F38] = LUCID_MAP_0F38, [ZYDIS_OPCODE_MAP_0F3A] = LUCID_MAP_0F3A,
		[ZYDIS_OPCODE_MAP_MAP5] = LUCID_MAP_5, [ZYDIS_OPCODE_MAP_MAP6] = LUCID_MAP_6,
		[ZYDIS_OPCODE_MAP_0F0F] = LUCID_MAP_3DNOW, [ZYDIS_OPCODE_MAP_XOP8] = LUCID_MAP_XOP8,
		[ZYDIS_OPCODE_MAP_XOP9] = LUCID_MAP_XOP9, [ZYDIS_OPCODE_MAP_XOPA] = LUCID_MAP_XOPA,
	};

	if (insn->encoding != encodings[z->encoding])
		return "encoding";
	if (insn->map != maps[z->opcode_map])
		return "map";
	if (insn->opcode != z->opcode)
		return "opcode";
	if (insn->has_modrm != !!(z->attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return "has_modrm";
	if (insn->has_modrm) {
		/* MOV CR and DR: the CPU takes mod as 3, which Zydis leaves as it is */
		bool crdr = lucid_insn_is(insn, LUCID_I_MOV_TO_CR) ||
			    lucid_insn_is(insn, LUCID_I_MOV_FROM_CR) ||
			    lucid_insn_is(insn, LUCID_I_MOV_TO_DR) ||
			    lucid_insn_is(insn, LUCID_I_MOV_FROM_DR);

		if (insn->modrm_off != z->raw.modrm.offset)
			return "modrm_off";
		if (insn->mod != (crdr ? 3 : z->raw.modrm.mod) ||
		    (insn->reg & 7) != z->raw.modrm.reg || (insn->rm & 7) != z->raw.modrm.rm)
			return "modrm";
	}
	if (insn->has_sib != !!(z->attributes & ZYDIS_ATTRIB_HAS_SIB))
		return "has_sib";
	if (insn->has_sib && insn->scale != z->raw.sib.scale)
		return "scale";
	if (insn->has_sib && insn->index != LUCID_NO_REG && (insn->index & 7) != z->raw.sib.index)
		return "index";
	if (insn->has_sib && insn->base != LUCID_NO_REG && (insn->base & 7) != z->raw.sib.base)
		return "base";
	if (insn->disp_size * 8 != z->raw.disp.size || insn->disp_off != z->raw.disp.offset)
		return "disp size";
	/* addresses of moffs forms are not sign-extended here */
	if (insn->has_modrm && insn->disp != z->raw.disp.value)
		return "disp";
	/* without a memory operand Zydis has its own mind (ENCLV) */
	if ((!insn->has_modrm || insn->mod != 3) && insn->addrsize * 8 != z->address_width)
		return "addrsize";
	if (insn->map == LUCID_MAP_3DNOW) {
		if (insn->imm_size)		/* the last byte is the opcode */
			return "imm of 3DNow!";
	} else {
		if (insn->imm_size * 8 != z->raw.imm[0].size || insn->imm_off != z->raw.imm[0].offset)
			return "imm size";
		if (insn->imm_size && insn->imm != (z->raw.imm[0].value.u & imm_mask))
			return "imm";
		if (insn->imm2_size * 8 != z->raw.imm[1].size)
			return "imm2 size";
		if (insn->imm2_size && insn->imm2 != (u16)z->raw.imm[1].value.u)
			return "imm2";
	}
	/* near branches with 66, as AMD has them: Zydis has the length, but not this */
	if (insn->flags & LUCID_INSN_AMD && insn->prefixes & LUCID_PFX_OPSIZE &&
	    (z->meta.category == ZYDIS_CATEGORY_COND_BR || z->meta.category == ZYDIS_CATEGORY_RET ||
	     z->meta.category == ZYDIS_CATEGORY_CALL || z->meta.category == ZYDIS_CATEGORY_UNCOND_BR))
		return NULL;
	/* INS and OUTS with REX.W: Zydis names INSD, OUTSD, but says 64 bits */
	if (insn->map == LUCID_MAP_ONE && z->operand_width != 8 &&
	    insn->opsize * 8 != z->operand_width &&
	    !(z->mnemonic == ZYDIS_MNEMONIC_INSD || z->mnemonic == ZYDIS_MNEMONIC_OUTSD))
		return "opsize";
	return NULL;
}

/* The number of a register as instructions have it, LUCID_NO_REG for none. */
static unsigned int reg_number(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return ZydisRegisterGetId(reg);
	default:
		return LUCID_NO_REG;
	}
}

/* Is this the register that @number means? @number's upper bits have no meaning for some. */
static bool same_reg(ZydisRegister reg, unsigned int number)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:	/* AH .. BH and SPL .. DIL share their numbers */
		if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
			return number == 4u + (reg - ZYDIS_REGISTER_AH);
		reg = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
		return number == (unsigned int)ZydisRegisterGetId(reg);
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_SEGMENT:
	case ZYDIS_REGCLASS_MASK:
	case ZYDIS_REGCLASS_TMM:
		return (number & 7) == (unsigned int)ZydisRegisterGetId(reg);
	default:
		return number == (unsigned int)ZydisRegisterGetId(reg);
	}
}

/* Registers, and those of the memory operand with its segment: the first difference, or NULL. */
static const char *different_operand(const struct lucid_insn *insn, const u8 *bytes,
				     unsigned int avail)
{
	ZydisDecoder *d = &zydis[insn->mode][!!(insn->flags & LUCID_INSN_AMD)];
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	ZydisDecoderContext ctx;
	unsigned int i;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(d, &ctx, bytes, avail, &z)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(d, &ctx, &z, ops, z.operand_count)))
		return "operands";

	for (i = 0; i < z.operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG &&
			    !same_reg(op->reg.value, insn->reg))
				return "reg";
			if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
			    !same_reg(op->reg.value, insn->rm))
				return "rm";
			if (op->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD &&
			    !same_reg(op->reg.value, insn->vvvv))
				return "vvvv";
		}
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			bool rip = op->mem.base == ZYDIS_REGISTER_RIP ||
				   op->mem.base == ZYDIS_REGISTER_EIP;
			unsigned int seg = insn->base == 4 || insn->base == 5 ?
					   LUCID_SEG_SS : LUCID_SEG_DS;

			if (insn->seg != LUCID_SEG_NONE)
				seg = insn->seg;
			if (rip != insn->rip_rel)
				return "rip_rel";
			/* no base with ModRM.mod 0, also where REX.B makes R13D of EBP: Zydis 4.0 errs */
			if (reg_number(op->mem.base) != insn->base &&
			    !(op->mem.base == ZYDIS_REGISTER_R13D && insn->mod == 0))
				return "memory base";
			/* VSIB: the index is a vector register, with a bit more in EVEX */
			if (op->mem.type != ZYDIS_MEMOP_TYPE_VSIB &&
			    reg_number(op->mem.index) != insn->index)
				return "memory index";
			/* DS with CALL and JMP is NOTRACK too, and only that to Zydis */
			if (op->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
			    !(z.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) &&
			    seg != (unsigned int)ZydisRegisterGetId(op->mem.segment))
				return "segment";
		}
	}
	return NULL;
}

/* One comparison; false if the two differ without an excuse. */
static bool zydis_compare(const u8 *bytes, unsigned int avail, unsigned int mode,
			  unsigned int flags)
{
	ZydisDecodedInstruction z = { 0 };
	struct lucid_insn insn;
	int ours = lucid_insn_decode(&insn, bytes, avail, mode, flags);
	unsigned int theirs = zydis_length(&z, bytes, avail, mode, flags);
	const char *field = "validity or length";
	unsigned int i;

	cmp.compared++;
	if ((ours > 0 ? (unsigned int)ours : 0) == theirs) {
		if (!theirs)
			return true;
		cmp.valid++;
		field = different_field(&insn, &z);
		if (!field && cmp_operands)
			field = different_operand(&insn, bytes, avail);
		if (!field)
			return true;
	} else {
		switch (known_difference(ours, &insn, &z, theirs)) {
		case FIELDS_ONLY:
			cmp.fields_only++;
			return true;
		case KNC:
			cmp.knc++;
			return true;
		case LOCK_CR0:
			cmp.lock_cr0++;
			return true;
		default:
			break;
		}
	}

	if (cmp.differ++ < MAX_SHOWN) {
		printf("# differ: mode %s%s ours %d Zydis %u %s: %s;",
		       mode_name[mode], flags ? " AMD" : "", ours, theirs,
		       theirs ? ZydisMnemonicGetString(z.mnemonic) : "", field);
		for (i = 0; i < avail && i < LUCID_INSN_MAX_LEN; i++)
			printf(" %02x", bytes[i]);
		putchar('\n');
	}
	return false;
}

__attribute__((unused))
static void zydis_report(void)
{
	tap_diag("%llu compared, %llu valid in both, differ: %llu; excused: %llu VEX/XOP/EVEX fields, %llu Knights Corner, %llu LOCK MOV CR0",
		 (unsigned long long)cmp.compared, (unsigned long long)cmp.valid,
		 (unsigned long long)cmp.differ, (unsigned long long)cmp.fields_only,
		 (unsigned long long)cmp.knc, (unsigned long long)cmp.lock_cr0);
}

#endif

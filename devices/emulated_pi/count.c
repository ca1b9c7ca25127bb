/* A QEMU plugin that counts executed A64 instructions by class, exactly: no clock, no sampling.
 *
 * Whenever the guest asks for the process group MARK, one line with all counts so far goes to the
 * file named by `out=`. Blocks count their executions; what a block holds is known when QEMU
 * translates it. Counts are of one thread's work: they are not atomic.
 * Debian ships no header of the plugin interface, so what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VISIBLE __attribute__((visibility("default")))
#define MARK 0x45444745
#define GETPGID 155 /* its number on aarch64 */
#define ADD 0       /* the only inline operation */

typedef uint64_t Id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void Translated(Id, struct qemu_plugin_tb *);
typedef void Syscall(Id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(Id, Translated *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(Id, Syscall *);

VISIBLE int qemu_plugin_version = 1;

enum Class { DOT, MULTIPLY, LOAD, STORE, OTHER, CLASSES };

struct Block {
    uint64_t executions;
    uint64_t instructions[CLASSES];
    struct Block *next;
};

static struct Block *blocks;
static FILE *out;

/* SDOT or UDOT, whose names QEMU's disassembler may not know: of vectors, and by element. */
static int is_dot(uint32_t word)
{
    return (word & 0x9fe0fc00) == 0x0e809400 || (word & 0x9fc0f400) == 0x0f80e000;
}

/* Every name with mul, mla, mls, madd, msub or mneg in it multiplies: smlal, sqrdmulh, fmadd. */
static enum Class class_of(uint32_t word, const char *name)
{
    static const char *const products[] = {"mul", "mla", "mls", "madd", "msub", "mneg"};
    if (is_dot(word))
        return DOT;
    if (strncmp(name, "ld", 2) == 0)
        return LOAD;
    if (strncmp(name, "st", 2) == 0)
        return STORE;
    for (size_t i = 0; i < sizeof(products) / sizeof(*products); i++) {
        const char *found = strstr(name, products[i]);
        if (found && found < name + strcspn(name, " \t"))
            return MULTIPLY;
    }
    return OTHER;
}

static void translated(Id id, struct qemu_plugin_tb *tb)
{
    struct Block *block = calloc(1, sizeof(*block));
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        char *name = qemu_plugin_insn_disas(instruction);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(instruction), sizeof(word));
        block->instructions[class_of(word, name ? name : "")]++;
        free(name);
    }
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD, &block->executions, 1);
}

static void called(Id id, unsigned cpu, int64_t number, uint64_t group, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    uint64_t sums[CLASSES] = {0};
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != GETPGID || group != MARK)
        return;
    for (const struct Block *block = blocks; block; block = block->next)
        for (int i = 0; i < CLASSES; i++)
            sums[i] += block->executions * block->instructions[i];
    for (int i = 0; i < CLASSES; i++)
        fprintf(out, "%" PRIu64 "%c", sums[i], i + 1 < CLASSES ? ' ' : '\n');
    fflush(out);
}

VISIBLE int qemu_plugin_install(Id id, const void *info, int count, char **options)
{
    (void)info;
    if (count != 1 || strncmp(options[0], "out=", 4) != 0 || !(out = fopen(options[0] + 4, "w")))
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}

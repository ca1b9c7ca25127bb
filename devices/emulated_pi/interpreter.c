/* What the kernel starts for every program of the emulated board: QEMU with the board's processor.
 *
 * The processor is this file's own name, so nothing that a session does to its environment (env -i,
 * sudo, a daemon) can fall back to QEMU's default, whose int8 results are wrong. binfmt_misc calls
 * it as `NAME PROGRAM ARGV0 ARGUMENTS...` (flag P).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU "/usr/lib/edgecv/qemu-aarch64-static"

int main(int count, char **arguments)
{
    char *slash = strrchr(arguments[0], '/');
    char **command = calloc(count + 2, sizeof(char *));
    if (count < 3 || !slash || !command)
        return 127;
    setenv("QEMU_CPU", slash + 1, 1);
    command[0] = QEMU;
    command[1] = "-0";
    command[2] = arguments[2];
    command[3] = arguments[1];
    memcpy(command + 4, arguments + 3, (count - 3) * sizeof(char *));
    execv(QEMU, command);
    perror(QEMU);
    return 127;
}

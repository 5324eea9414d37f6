// What the C library asks of an operating system, which there is not. Defined here, nothing of WASI is imported.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "host.h"

#define WASI(name) __imported_wasi_snapshot_preview1_##name

enum { NOT_SUPPORTED = 52, NO_SUCH_FILE = 8 };

void give_up(const char *why)
{
    host_log(0, why, strlen(why));
    __builtin_trap();
}

// The only clock is the time of the event, which is the same on every replica.
int32_t WASI(clock_time_get)(int32_t clock, int64_t precision, int32_t to)
{
    uint64_t nanoseconds = (uint64_t)host_now() * 1000000;
    memcpy((void *)to, &nanoseconds, sizeof nanoseconds);
    return 0;
}

// There are no files: whatever the engine would print is dropped.
int32_t WASI(fd_write)(int32_t file, int32_t parts, int32_t count, int32_t written)
{
    return NO_SUCH_FILE;
}

int32_t WASI(fd_seek)(int32_t file, int64_t offset, int32_t whence, int32_t to)
{
    return NO_SUCH_FILE;
}

int32_t WASI(fd_close)(int32_t file)
{
    return NO_SUCH_FILE;
}

int32_t WASI(fd_fdstat_get)(int32_t file, int32_t to)
{
    return NO_SUCH_FILE;
}

int32_t WASI(environ_get)(int32_t variables, int32_t buffer)
{
    return NOT_SUPPORTED;
}

int32_t WASI(environ_sizes_get)(int32_t count, int32_t size)
{
    return NOT_SUPPORTED;
}

[[noreturn]] void WASI(proc_exit)(int32_t code)
{
    give_up("the engine stopped");
}

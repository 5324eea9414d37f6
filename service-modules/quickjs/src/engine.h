// What the parts of the engine share.

#pragma once

#include <stdint.h>

#include "quickjs.h"

// program.c: the files of the service.
struct file {
    const char *name;
    const char *source;
    uint32_t length;
};
// The file at a position, which moves on to the next one; false at the end. The position of the first file is 0.
bool next_file(uint32_t *at, struct file *file);
bool find_file(const char *name, struct file *file);

// natives.c: the host functions as JavaScript functions.
JSValue natives(JSContext *context);

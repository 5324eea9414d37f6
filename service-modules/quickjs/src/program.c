// The service's files: a part of memory that is empty in the engine and filled when a package is linked.
//
// Each file is its name, a zero, the length of its source as u32 little-endian, the source, a zero. An empty name ends
// the list. The first file is the entry. `link.js` of the IDE writes it.

#include <string.h>

#include "engine.h"

enum { CAPACITY = 256 * 1024 };

// Exported under this name: the value of the global is its address.
char program[CAPACITY];
const uint32_t program_capacity = CAPACITY;

bool next_file(uint32_t *at, struct file *file)
{
    uint32_t left = CAPACITY - *at;
    uint32_t name = strnlen(program + *at, left);
    if (name == 0 || left - name < 1 + sizeof(uint32_t))
        return false;
    uint32_t source = *at + name + 1 + sizeof(uint32_t);
    memcpy(&file->length, program + source - sizeof(uint32_t), sizeof(uint32_t));
    if (file->length >= CAPACITY - source || program[source + file->length] != 0)
        return false;
    file->name = program + *at;
    file->source = program + source;
    *at = source + file->length + 1;
    return true;
}

bool find_file(const char *name, struct file *file)
{
    for (uint32_t at = 0; next_file(&at, file);)
        if (strcmp(file->name, name) == 0)
            return true;
    return false;
}

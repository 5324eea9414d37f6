// The host functions of ABI 1, raw. Pointers are byte offsets into memory; a negative result is an error code.

#pragma once

#include <stdint.h>

#define HOST(name) __attribute__((import_module("host"), import_name(#name)))

HOST(broadcast) int32_t host_broadcast(uint32_t room, const void *body, uint32_t length);
HOST(call) int32_t host_call(const void *service, uint32_t service_length, const void *input, uint32_t length);
HOST(close) int32_t host_close(uint32_t session);
HOST(input) void host_input(void *to);
HOST(join) int32_t host_join(uint32_t session, uint32_t room);
HOST(kv_delete) int32_t host_kv_delete(const void *key, uint32_t key_length);
HOST(kv_get) int32_t host_kv_get(const void *key, uint32_t key_length, void *to, uint32_t capacity);
HOST(kv_next) int32_t host_kv_next(const void *key, uint32_t key_length, void *to, uint32_t capacity);
HOST(kv_put) int32_t host_kv_put(const void *key, uint32_t key_length, const void *value, uint32_t length);
HOST(leave) int32_t host_leave(uint32_t session, uint32_t room);
HOST(log) void host_log(int32_t level, const void *text, uint32_t length);
HOST(now) double host_now(void);
HOST(peer) int32_t host_peer(uint32_t session, void *key);
HOST(random) void host_random(void *to, uint32_t length);
HOST(reply) int32_t host_reply(const void *body, uint32_t length);
HOST(send) int32_t host_send(uint32_t session, const void *body, uint32_t length);
HOST(timer) void host_timer(uint32_t id, int32_t ms);

// Logs an error, which hosts show as the reason, and traps: the state is then as before the event.
[[noreturn]] void give_up(const char *why);

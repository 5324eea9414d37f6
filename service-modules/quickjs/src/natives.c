// The host functions as JavaScript functions, for the prelude alone: it checks and converts what authors pass.
// A body or key is a string, which leaves as UTF-8, or a Uint8Array.

#include <string.h>

#include "engine.h"
#include "host.h"

#define NATIVE(name) static JSValue name(JSContext *cx, JSValueConst this_value, int count, JSValueConst *arguments)

// The bytes of an argument; `release` them. NULL is an exception.
struct bytes {
    const void *start;
    const char *text;
    size_t length;
};

static bool borrow(JSContext *cx, JSValueConst value, struct bytes *bytes)
{
    bytes->text = NULL;
    if (JS_IsString(value))
        bytes->start = bytes->text = JS_ToCStringLen(cx, &bytes->length, value);
    else
        bytes->start = JS_GetUint8Array(cx, &bytes->length, value);
    return bytes->start != NULL || !JS_HasException(cx);
}

static void release(JSContext *cx, struct bytes *bytes)
{
    if (bytes->text)
        JS_FreeCString(cx, bytes->text);
}

static uint32_t number(JSContext *cx, JSValueConst value)
{
    uint32_t number = 0;
    JS_ToUint32(cx, &number, value);
    return number;
}

// A host function of a number and bytes.
static JSValue send_to(JSContext *cx, JSValueConst *arguments, int32_t (*send)(uint32_t, const void *, uint32_t))
{
    struct bytes body;
    if (!borrow(cx, arguments[1], &body))
        return JS_EXCEPTION;
    int32_t result = send(number(cx, arguments[0]), body.start, body.length);
    release(cx, &body);
    return JS_NewInt32(cx, result);
}

static int32_t send_(uint32_t session, const void *body, uint32_t length) { return host_send(session, body, length); }
static int32_t broadcast_(uint32_t room, const void *body, uint32_t length) { return host_broadcast(room, body, length); }
static int32_t reply_(uint32_t none, const void *body, uint32_t length) { return host_reply(body, length); }
static int32_t delete_(uint32_t none, const void *key, uint32_t length) { return host_kv_delete(key, length); }
static int32_t log_(uint32_t level, const void *text, uint32_t length)
{
    host_log(level, text, length);
    return 0;
}

NATIVE(send) { return send_to(cx, arguments, send_); }
NATIVE(broadcast) { return send_to(cx, arguments, broadcast_); }
NATIVE(reply) { return send_to(cx, arguments, reply_); }
NATIVE(log_line) { return send_to(cx, arguments, log_); }
NATIVE(kv_delete) { return send_to(cx, arguments, delete_); }

NATIVE(join) { return JS_NewInt32(cx, host_join(number(cx, arguments[0]), number(cx, arguments[1]))); }
NATIVE(leave) { return JS_NewInt32(cx, host_leave(number(cx, arguments[0]), number(cx, arguments[1]))); }
NATIVE(close_session) { return JS_NewInt32(cx, host_close(number(cx, arguments[0]))); }
NATIVE(now) { return JS_NewFloat64(cx, host_now()); }

NATIVE(timer)
{
    host_timer(number(cx, arguments[0]), (int32_t)number(cx, arguments[1]));
    return JS_UNDEFINED;
}

NATIVE(peer)
{
    uint8_t key[32];
    if (host_peer(number(cx, arguments[0]), key) < 0)
        return JS_NULL;
    return JS_NewUint8ArrayCopy(cx, key, sizeof key);
}

NATIVE(random_bytes)
{
    uint32_t length = number(cx, arguments[0]);
    uint8_t *bytes = js_malloc(cx, length + 1);
    host_random(bytes, length);
    JSValue value = JS_NewUint8ArrayCopy(cx, bytes, length);
    js_free(cx, bytes);
    return value;
}

NATIVE(random_number)
{
    uint64_t bits;
    host_random(&bits, sizeof bits);
    return JS_NewFloat64(cx, (double)(bits >> 11) * 0x1p-53);
}

// Pairs of bytes: (service, input) of a call, (key, value) of an entry.
static JSValue with_two(JSContext *cx, JSValueConst *arguments, bool call)
{
    struct bytes first, second;
    if (!borrow(cx, arguments[0], &first))
        return JS_EXCEPTION;
    if (!borrow(cx, arguments[1], &second)) {
        release(cx, &first);
        return JS_EXCEPTION;
    }
    int32_t result = call ? host_call(first.start, first.length, second.start, second.length)
                          : host_kv_put(first.start, first.length, second.start, second.length);
    release(cx, &first);
    release(cx, &second);
    return JS_NewInt32(cx, result);
}

NATIVE(call) { return with_two(cx, arguments, true); }
NATIVE(kv_put) { return with_two(cx, arguments, false); }

// What the store has for a key or after it, or null.
static JSValue look_up(JSContext *cx, JSValueConst *arguments, bool next)
{
    struct bytes key;
    if (!borrow(cx, arguments[0], &key))
        return JS_EXCEPTION;
    int32_t length = next ? host_kv_next(key.start, key.length, NULL, 0) : host_kv_get(key.start, key.length, NULL, 0);
    JSValue value = JS_NULL;
    if (length >= 0) {
        uint8_t *found = js_malloc(cx, (size_t)length + 1);
        if (next)
            host_kv_next(key.start, key.length, found, length);
        else
            host_kv_get(key.start, key.length, found, length);
        value = JS_NewUint8ArrayCopy(cx, found, length);
        js_free(cx, found);
    }
    release(cx, &key);
    return value;
}

NATIVE(kv_get) { return look_up(cx, arguments, false); }
NATIVE(kv_next) { return look_up(cx, arguments, true); }

NATIVE(encode)
{
    struct bytes text;
    if (!borrow(cx, arguments[0], &text))
        return JS_EXCEPTION;
    JSValue bytes = JS_NewUint8ArrayCopy(cx, text.start, text.length);
    release(cx, &text);
    return bytes;
}

NATIVE(decode)
{
    struct bytes bytes;
    if (!borrow(cx, arguments[0], &bytes))
        return JS_EXCEPTION;
    JSValue text = JS_NewStringLen(cx, bytes.start, bytes.length);
    release(cx, &bytes);
    return text;
}

NATIVE(has)
{
    const char *name = JS_ToCString(cx, arguments[0]);
    struct file file;
    bool found = name && find_file(name, &file);
    JS_FreeCString(cx, name);
    return JS_NewBool(cx, found);
}

NATIVE(abort_event)
{
    const char *why = JS_ToCString(cx, arguments[0]);
    give_up(why ? why : "aborted");
}

static const JSCFunctionListEntry LIST[] = {
    JS_CFUNC_DEF("send", 2, send),
    JS_CFUNC_DEF("broadcast", 2, broadcast),
    JS_CFUNC_DEF("reply", 2, reply),
    JS_CFUNC_DEF("log", 2, log_line),
    JS_CFUNC_DEF("join", 2, join),
    JS_CFUNC_DEF("leave", 2, leave),
    JS_CFUNC_DEF("close", 1, close_session),
    JS_CFUNC_DEF("now", 0, now),
    JS_CFUNC_DEF("timer", 2, timer),
    JS_CFUNC_DEF("peer", 1, peer),
    JS_CFUNC_DEF("random", 1, random_bytes),
    JS_CFUNC_DEF("randomNumber", 0, random_number),
    JS_CFUNC_DEF("call", 2, call),
    JS_CFUNC_DEF("put", 2, kv_put),
    JS_CFUNC_DEF("get", 1, kv_get),
    JS_CFUNC_DEF("next", 1, kv_next),
    JS_CFUNC_DEF("delete", 2, kv_delete),
    JS_CFUNC_DEF("encode", 1, encode),
    JS_CFUNC_DEF("decode", 1, decode),
    JS_CFUNC_DEF("has", 1, has),
    JS_CFUNC_DEF("abort", 1, abort_event),
};

JSValue natives(JSContext *context)
{
    JSValue host = JS_NewObject(context);
    JS_SetPropertyFunctionList(context, host, LIST, sizeof LIST / sizeof LIST[0]);
    return host;
}

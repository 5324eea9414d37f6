// QuickJS as a service module of ABI 1: starts the linked program, hands it events, answers for it.
//
// What is friendlier in JavaScript is in prelude.js. An error that a handler throws ends the handler and no more; a
// lack of memory and whatever else leaves the engine in the middle of something traps, which undoes the event.

#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "host.h"

enum kind { CALL = 3, QUERY = 4, UPGRADE = 7 };

// QuickJS throws a RangeError when its stack in linear memory is this deep: some 400 calls of JavaScript, before the
// host's own limit, which traps. The linker's `stack-size` leaves as much again for what QuickJS does not count.
enum { STACK = 112 * 1024 };

static const char PRELUDE[] = {
#embed "prelude.js" suffix(, 0)
};

static JSRuntime *runtime;
static JSContext *cx;
// What prelude.js returned.
static JSValue prelude;
// The first promise of this event that failed while nobody waited for it.
static JSValue orphan, orphan_reason;

// ---- memory: without it, nothing of an event can be trusted

static void *have(void *memory)
{
    if (!memory)
        give_up("out of memory");
    return memory;
}

static void *take(void *none, size_t size) { return have(malloc(size ? size : 1)); }
static void *take_zeroed(void *none, size_t count, size_t size) { return have(calloc(count, size ? size : 1)); }
static void give(void *none, void *memory) { free(memory); }
static size_t usable(const void *memory) { return 0; }

static void *resize(void *none, void *memory, size_t size)
{
    if (size)
        return have(realloc(memory, size));
    free(memory);
    return NULL;
}

static const JSMallocFunctions MEMORY = { take_zeroed, take, give, resize, usable };

// ---- calling the prelude

static JSValue call(const char *name, int count, JSValue *arguments)
{
    JSValue function = JS_GetPropertyStr(cx, prelude, name);
    JSValue result = JS_Call(cx, function, JS_UNDEFINED, count, arguments);
    JS_FreeValue(cx, function);
    for (int i = 0; i < count; i++)
        JS_FreeValue(cx, arguments[i]);
    return result;
}

// Traps for the pending exception, in words.
[[noreturn]] static void give_up_thrown(void)
{
    JSValue words = call("describe", 1, (JSValue[]){ JS_GetException(cx) });
    const char *text = JS_ToCString(cx, words);
    give_up(text ? text : "an error that cannot be described");
}

static void note_orphan(JSContext *context, JSValueConst promise, JSValueConst reason, bool handled, void *none)
{
    if (!handled && JS_IsUndefined(orphan)) {
        orphan = JS_DupValue(cx, promise);
        orphan_reason = JS_DupValue(cx, reason);
    } else if (handled && JS_VALUE_GET_TAG(orphan) == JS_TAG_OBJECT
               && JS_VALUE_GET_PTR(orphan) == JS_VALUE_GET_PTR(promise)) {
        JS_FreeValue(cx, orphan);
        JS_FreeValue(cx, orphan_reason);
        orphan = orphan_reason = JS_UNDEFINED;
    }
}

// Runs what waits for promises, then takes the value out of `value` if that is one. An exception is passed through.
static JSValue settle(JSValue value)
{
    if (JS_IsException(value))
        return value;
    if (JS_IsPromise(value))
        JS_PromiseMarkAsHandled(cx, value);
    JSContext *ran;
    while (JS_ExecutePendingJob(runtime, &ran) != 0)
        ;
    if (!JS_IsUndefined(orphan)) {
        JS_FreeValue(cx, orphan);
        JS_FreeValue(cx, call("logError", 1, &orphan_reason));
        orphan = orphan_reason = JS_UNDEFINED;
    }
    if (!JS_IsPromise(value))
        return value;
    JSPromiseStateEnum state = JS_PromiseState(cx, value);
    JSValue result = state == JS_PROMISE_PENDING ? JS_UNDEFINED : JS_PromiseResult(cx, value);
    JS_FreeValue(cx, value);
    if (state == JS_PROMISE_REJECTED)
        return JS_Throw(cx, result);
    if (state == JS_PROMISE_PENDING)
        return JS_ThrowTypeError(cx, "it waits for something that cannot happen within one event");
    return result;
}

// ---- modules

static char *resolve(JSContext *context, const char *base, const char *name, void *none)
{
    JSValue path = call("resolve", 2, (JSValue[]){ JS_NewString(cx, base), JS_NewString(cx, name) });
    if (JS_IsException(path))
        return NULL;
    const char *text = JS_ToCString(cx, path);
    char *copy = js_strdup(cx, text);
    JS_FreeCString(cx, text);
    JS_FreeValue(cx, path);
    return copy;
}

static const char *const SDK[] = { "text", "bytes", "json", "Level" };

static int fill_sdk(JSContext *context, JSModuleDef *module)
{
    for (size_t i = 0; i < sizeof SDK / sizeof SDK[0]; i++)
        JS_SetModuleExport(cx, module, SDK[i], JS_GetPropertyStr(cx, prelude, SDK[i]));
    return 0;
}

static JSModuleDef *load(JSContext *context, const char *name, void *none)
{
    if (strcmp(name, "tabfarm") == 0) {
        JSModuleDef *module = JS_NewCModule(cx, name, fill_sdk);
        for (size_t i = 0; i < sizeof SDK / sizeof SDK[0]; i++)
            JS_AddModuleExport(cx, module, SDK[i]);
        return module;
    }
    struct file file;
    if (!find_file(name, &file)) {
        JS_ThrowReferenceError(cx, "there is no file %s", name);
        return NULL;
    }
    int flags = JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY;
    JSValue module = JS_Eval(cx, file.source, file.length, file.name, flags);
    if (JS_IsException(module))
        return NULL;
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JS_FreeValue(cx, module);
    return definition;
}

// ---- exports

static void start_engine(void)
{
    orphan = orphan_reason = JS_UNDEFINED;
    runtime = JS_NewRuntime2(&MEMORY, NULL);
    JS_SetMaxStackSize(runtime, STACK);
    JS_SetHostPromiseRejectionTracker(runtime, note_orphan, NULL);
    JS_SetModuleLoaderFunc(runtime, resolve, load, NULL);
    cx = JS_NewContext(runtime);
    JSValue function = JS_Eval(cx, PRELUDE, sizeof PRELUDE - 1, "prelude.js", JS_EVAL_TYPE_GLOBAL);
    prelude = JS_Call(cx, function, JS_UNDEFINED, 1, (JSValue[]){ natives(cx) });
    if (JS_IsException(prelude))
        give_up("the prelude failed");
    JS_FreeValue(cx, function);
}

static void start_program(const struct file *entry)
{
    int flags = JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY;
    JSValue module = JS_Eval(cx, entry->source, entry->length, entry->name, flags);
    if (JS_IsException(module))
        give_up_thrown();
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JSValue done = settle(JS_EvalFunction(cx, module));
    if (JS_IsException(done))
        give_up_thrown();
    JSValue namespace = JS_GetModuleNamespace(cx, definition);
    JSValue service = JS_GetPropertyStr(cx, namespace, "default");
    JS_FreeValue(cx, namespace);
    JSValue started = call("start", 2, (JSValue[]){ service, JS_NewString(cx, entry->name) });
    if (JS_IsException(started))
        give_up_thrown();
    JS_FreeValue(cx, settle(started));
}

extern void __wasm_call_ctors(void);

__attribute__((export_name("_initialize"))) void initialize(void)
{
    __wasm_call_ctors();
    start_engine();
    uint32_t at = 0;
    struct file entry;
    if (next_file(&at, &entry))
        start_program(&entry);
}

static JSValue take_input(uint32_t length)
{
    uint8_t *bytes = js_malloc(cx, length + 1);
    if (length > 0)
        host_input(bytes);
    JSValue input = JS_NewUint8ArrayCopy(cx, bytes, length);
    js_free(cx, bytes);
    return input;
}

__attribute__((export_name("handle"))) int handle(int kind, int session, int length)
{
    JSValue arguments[] = { JS_NewInt32(cx, kind), JS_NewUint32(cx, session), take_input(length) };
    JSValue result = settle(call("dispatch", 3, arguments));
    bool answers = kind == CALL || kind == QUERY;
    if (answers && !JS_IsException(result))
        result = call("answer", 1, &result);
    // Somebody reads why a call failed, and why a new version did not take the state over.
    bool told = answers || kind == UPGRADE;
    bool failed = JS_IsException(result);
    if (failed) {
        JSValue error = JS_GetException(cx);
        result = call("fail", 2, (JSValue[]){ JS_NewBool(cx, told), error });
        if (JS_IsException(result))
            give_up("an error could not be described");
    }
    JS_FreeValue(cx, result);
    return told && failed;
}

// For editors: compiles every file of a program that was put into an engine without one, and runs nothing of it. Each
// problem is logged as JSON. The number of problems.
__attribute__((export_name("check"))) int check(void)
{
    int problems = 0;
    struct file file;
    for (uint32_t at = 0; next_file(&at, &file);) {
        int flags = JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY;
        JSValue module = JS_Eval(cx, file.source, file.length, file.name, flags);
        if (JS_IsException(module)) {
            problems++;
            JS_FreeValue(cx, call("report", 1, (JSValue[]){ JS_GetException(cx) }));
        }
        JS_FreeValue(cx, module);
    }
    return problems;
}

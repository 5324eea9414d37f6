;; Gives back what it gets. A service is one function: handle(kind, session, length).
;; Kinds: 0 open, 1 message, 2 close, 3 call, 4 query, 5 timer, 6 reply, 7 upgrade.
(module
  (import "host" "input" (func $input (param i32)))
  (import "host" "reply" (func $reply (param i32 i32) (result i32)))
  (import "host" "send" (func $send (param i32 i32 i32) (result i32)))
  (memory (export "memory") 20 20)

  (func $handle (export "handle") (param $kind i32) (param $session i32) (param $length i32) (result i32)
    (local $name i32)
    ;; What came lies at 0 from now on.
    (call $input (i32.const 0))
    ;; A message goes back to its session.
    (if (i32.eq (local.get $kind) (i32.const 1))
      (then (drop (call $send (local.get $session) (i32.const 0) (local.get $length)))))
    ;; A call or a query: two bytes of length, the method's name, the body.
    (if (i32.or (i32.eq (local.get $kind) (i32.const 3)) (i32.eq (local.get $kind) (i32.const 4)))
      (then
        (local.set $name (i32.add (i32.const 2) (i32.load16_u (i32.const 0))))
        (if (i32.gt_u (local.get $name) (local.get $length)) (then (return (i32.const 1))))
        (drop (call $reply (local.get $name) (i32.sub (local.get $length) (local.get $name))))))
    (i32.const 0)))

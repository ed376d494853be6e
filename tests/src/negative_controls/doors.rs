//! Who is admitted: the guards of a request, and the bounds on its size.

use super::Edit;

const GUARD: &str = "daemon/src/rpc/guard.rs";
const HTTP: &str = "daemon/src/rpc/http.rs";
const ANSWER: &str = "daemon/src/rpc/answer.rs";
const WEBSOCKET: &str = "daemon/src/rpc/websocket.rs";

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "host",
        file: GUARD,
        here: "        self.check_host(request)?;\n",
        instead: "        if !$out {\n$here}\n",
    },
    // CORS is answered for everybody: without it a page could send, but not read.
    Edit {
        guard: "origin",
        file: GUARD,
        here: "self.check_origin(&request.headers)?",
        instead: "if $out { request.headers.get(ORIGIN).cloned() } else { $here }",
    },
    Edit {
        guard: "foreign-page",
        file: GUARD,
        here: "let foreign = self.check_site(request)?;",
        instead: "let foreign = if $out { false } else { self.check_site(request)? };",
    },
    // Bounds neither number nor size.
    Edit {
        guard: "strangers",
        file: "daemon/src/rpc/visitors.rs",
        here: "if strangers.here.len() >= self.most_strangers",
        instead: "if !$out\n            && strangers.here.len() >= self.most_strangers",
    },
    Edit {
        guard: "strangers",
        file: "daemon/src/rpc/server.rs",
        here: "visitor.dismissed(patience.strange_for)",
        instead: "visitor.dismissed(if $out { Duration::from_secs(3600) } else { patience.strange_for })",
    },
    Edit {
        guard: "strangers",
        file: "daemon/src/rpc/server.rs",
        here: ".header_read_timeout(patience.head_within)",
        instead: ".header_read_timeout(if $out { Duration::from_secs(3600) } else { patience.head_within })",
    },
    Edit {
        guard: "same-user",
        file: "daemon/src/rpc/server.rs",
        here: "Self::Unix(socket) => socket",
        instead: "Self::Unix(_) if $out => true,\n            Self::Unix(socket) => socket",
    },
    Edit {
        guard: "token",
        file: GUARD,
        here: "            self.check_token(&request.headers)?;\n",
        instead: "            if !$out {\n$here}\n",
    },
    // Signs the address that a client expects, instead of ours.
    Edit {
        guard: "challenge-address",
        file: GUARD,
        here: "guard.token.answer(guard.address, nonce(headers)?)",
        instead: "let named = only(headers, HOST).and_then(|host| host.to_str().ok()?.parse().ok());\n        \
                  guard.token.answer(if $out { named? } else { guard.address }, nonce(headers)?)",
    },
    Edit {
        guard: "new-token",
        file: "daemon/src/main.rs",
        here: "let kept = !config.allowed_origins.is_empty();",
        instead: "let kept = $out || !config.allowed_origins.is_empty();",
    },
    Edit {
        guard: "content-type",
        file: GUARD,
        here: "if request.method == Method::POST &&",
        instead: "if !$out && request.method == Method::POST &&",
    },
    // Every path leads to `/rpc`.
    Edit {
        guard: "path",
        file: HTTP,
        here: ".fallback(console::serve)",
        instead: ".fallback(async |state: State<Arc<Door>>, request: Request| {\n\
                  if $out { return rpc(state, request).await }\n\
                  console::serve(request.method().clone(), request.uri().clone()).await\n})",
    },
    Edit {
        guard: "request-size",
        file: HTTP,
        here: "Limited::new(request.into_body(), REQUEST_BYTES as usize)",
        instead: "Limited::new(request.into_body(), if $out { usize::MAX } else { REQUEST_BYTES as usize })",
    },
    Edit {
        guard: "request-size",
        file: WEBSOCKET,
        here: "builder.set_max_message_size(REQUEST_BYTES as usize)",
        instead: "builder.set_max_message_size(if $out { usize::MAX } else { REQUEST_BYTES as usize })",
    },
    Edit {
        guard: "response-size",
        file: ANSWER,
        here: "if self.0.len() + bytes.len() > RESPONSE_BYTES as usize",
        instead: "if !$out && self.0.len() + bytes.len() > RESPONSE_BYTES as usize",
    },
    Edit {
        guard: "response-size",
        file: ANSWER,
        here: "if json.len() + one.get().len() >= RESPONSE_BYTES as usize",
        instead: "if !$out && json.len() + one.get().len() >= RESPONSE_BYTES as usize",
    },
    Edit {
        guard: "batch-size",
        file: "daemon/src/rpc/envelope.rs",
        here: "while entries.len() < BATCH_CALLS as usize",
        instead: "while $out || entries.len() < BATCH_CALLS as usize",
    },
    Edit {
        guard: "connections",
        file: HTTP,
        here: "ConnectionGuard::new(shares.websockets as usize)",
        instead: "ConnectionGuard::new(if $out { 1 << 20 } else { shares.websockets as usize })",
    },
    Edit {
        guard: "subscriptions",
        file: "daemon/src/rpc/subscriptions.rs",
        here: "BoundedSubscriptions::new(SUBSCRIPTIONS)",
        instead: "BoundedSubscriptions::new(if $out { u32::MAX } else { SUBSCRIPTIONS })",
    },
    Edit {
        guard: "calls-in-flight",
        file: "daemon/src/rpc/connection.rs",
        here: "Semaphore::new(CALLS_IN_FLIGHT)",
        instead: "Semaphore::new(if $out { Semaphore::MAX_PERMITS } else { CALLS_IN_FLIGHT })",
    },
    Edit {
        guard: "ping",
        file: WEBSOCKET,
        here: "interval(patience.ping_every)",
        instead: "interval(if $out { Duration::from_secs(3600) } else { patience.ping_every })",
    },
];

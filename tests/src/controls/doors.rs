//! Who may enter: the guards of a request, and the bounds on what comes in.

use super::Edit;

const GUARD: &str = "daemon/src/rpc/guard.rs";
const HTTP: &str = "daemon/src/rpc/http.rs";

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "host",
        file: GUARD,
        here: "        self.check_host(request)?;\n",
        instead: "        if !$out { self.check_host(request)?; }\n",
    },
    // CORS is answered for whoever asks: without it a page could send, and not read.
    Edit {
        guard: "origin",
        file: GUARD,
        here: "        let cors_origin = self.check_origin(&request.headers)?;\n",
        instead: "        let cors_origin = if $out { request.headers.get(ORIGIN).cloned() } else { self.check_origin(&request.headers)? };\n",
    },
    Edit {
        guard: "token",
        file: GUARD,
        here: "            self.check_token(&request.headers)?;\n",
        instead: "            if !$out { self.check_token(&request.headers)?; }\n",
    },
    Edit {
        guard: "content-type",
        file: GUARD,
        here: "    if request.method == Method::POST\n",
        instead: "    if !$out && request.method == Method::POST\n",
    },
    // jsonrpsee looks, too.
    Edit {
        guard: "content-type",
        file: HTTP,
        here: "    conceal(&mut parts.headers);\n    let",
        instead: "    conceal(&mut parts.headers);\n    if $out { parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(\"application/json\")); }\n    let",
    },
];

//! The web console, and the JavaScript client that it uses: files in the binary, the same for everybody, so they need
//! no token.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{Method, StatusCode, Uri};

/// What the console's page may do: run its own scripts and styles, turn no text into HTML (Trusted Types), connect
/// only to this daemon, and not be framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file: its path, its media type, its text.
struct File(&'static str, &'static str, &'static str);

macro_rules! files {
    ($($path:literal, $kind:ident, $source:literal;)+) => {
        &[$(File($path, $kind, include_str!(concat!("../../../clients/", $source))),)+]
    };
}

const FILES: &[File] = files! {
    "/", HTML, "web/index.html";
    "/console/console.css", STYLE, "web/console.css";
    "/console/console.js", SCRIPT, "web/console.js";
    "/console/contacts.js", SCRIPT, "web/contacts.js";
    "/console/dom.js", SCRIPT, "web/dom.js";
    "/console/events.js", SCRIPT, "web/events.js";
    "/console/icon.svg", IMAGE, "web/icon.svg";
    "/console/me.js", SCRIPT, "web/me.js";
    "/console/methods.js", SCRIPT, "web/methods.js";
    "/console/requests.js", SCRIPT, "web/requests.js";
    "/client/api.js", SCRIPT, "javascript/src/api.js";
    "/client/client.js", SCRIPT, "javascript/src/client.js";
    "/client/connection.js", SCRIPT, "javascript/src/connection.js";
    "/client/door.js", SCRIPT, "javascript/src/door.js";
    "/client/error.js", SCRIPT, "javascript/src/error.js";
    "/client/events.js", SCRIPT, "javascript/src/events.js";
    "/client/link.js", SCRIPT, "javascript/src/link.js";
    "/client/prosed.js", SCRIPT, "javascript/src/prosed.js";
    "/client/roster.js", SCRIPT, "javascript/src/roster.js";
};

/// The media type and text of the file at a path.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|File(served, ..)| *served == path).map(|File(_, kind, text)| (*kind, *text))
}

/// Answers with a file of the console, or that there is none.
pub(super) async fn serve(method: Method, uri: Uri) -> Response {
    let is_read = method == Method::GET || method == Method::HEAD;
    let Some((kind, text)) = file(uri.path()).filter(|_| is_read) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    (headers, text).into_response()
}

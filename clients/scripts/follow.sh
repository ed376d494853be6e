#!/bin/sh
# Follows events, one JSON message a line:  ./follow.sh [since]
# Over the Unix socket, which asks for no token. Needs websocat: `cargo install websocat` (Debian has
# no package), or name yours in WEBSOCAT.
set -eu
. "${0%/*}/endpoint.sh"
printf '{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{%s}}\n' "${1:+\"since\":$1}" |
    "${WEBSOCAT:-websocat}" --text --no-close --ws-c-uri ws://localhost/rpc - "ws-c:unix:$socket"

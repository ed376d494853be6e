#!/bin/sh
# Follows events over the port, one JSON message a line:  ./follow-port.sh [since]
# Needs websocat: `cargo install websocat` (Debian has no package), or name yours in WEBSOCAT.
# A header given to websocat would stand in the command line, for every user to read: so the
# token is put behind the first line of the request on its way.
set -eu
. "${0%/*}/endpoint.sh"
export token WEBSOCAT="${WEBSOCAT:-websocat}" address="${door%%/*}"
with_token='{ IFS= read -r line; printf "%s\nAuthorization: Bearer %s\r\n" "$line" "$(cat "$token")"; cat; } |
    { "$WEBSOCAT" --binary --exit-on-eof - "tcp:$address"; kill $$; }'
printf '{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{%s}}\n' "${1:+\"since\":$1}" |
    "$WEBSOCAT" --text --no-close --ws-c-uri "ws://$door" - "ws-c:sh-c:$with_token"

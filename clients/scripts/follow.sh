#!/bin/sh
# Follows events, one JSON message per line:  ./follow.sh [since]
# Uses the Unix socket, which needs no token. Needs websocat (`cargo install websocat`: Debian has no package), or set
# WEBSOCAT to the path of yours. When prosed refuses or ends the subscription, the error goes to standard error, and the
# exit code is 1.
set -eu
. "${0%/*}/endpoint.sh"
folder=$(mktemp -d)
mkfifo "$folder/messages"
printf '{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{%s}}\n' "${1:+\"since\":$1}" |
    "${WEBSOCAT:-websocat}" --text --no-close --ws-c-uri ws://localhost/rpc - "ws-c:unix:$socket" > "$folder/messages" &
trap 'kill $! 2> /dev/null || :' EXIT
trap 'exit 1' HUP INT TERM
exec < "$folder/messages"
rm -r "$folder"
while IFS= read -r message; do
    case $message in
        *'"result":'*) printf '%s\n' "$message" ;;
        *) printf '%s\n' "$message" >&2; exit 1 ;;
    esac
done
echo "the connection to prosed was lost" >&2
exit 1

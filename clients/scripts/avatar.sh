#!/bin/sh
# Saves somebody's picture:  ./avatar.sh romeo@example.net > romeo.png
# Needs jq. A picture's path needs no token, so it also works in <img>.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 JID > FILE" >&2; exit 64; }
. "${0%/*}/endpoint.sh"
contact=$(printf '{"jid":"%s"}' "$1" | "${0%/*}/rpc.sh" get_contact)
path=$(printf %s "$contact" | jq --raw-output --exit-status '.result.avatar.url // empty') ||
    { echo "$1 has no picture" >&2; exit 1; }
curl --silent --show-error --fail --unix-socket "$socket" "http://localhost$path"

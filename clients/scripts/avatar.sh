#!/bin/sh
# Saves somebody's picture:  ./avatar.sh romeo@example.net > romeo.png
# Whoever knows a picture's path may see it, with no token: it is good for <img>, too. Needs jq.
set -eu
. "${0%/*}/endpoint.sh"
path=$(printf '{"jid":"%s"}' "$1" | "${0%/*}/rpc.sh" get_contact | jq --raw-output --exit-status .result.avatar.url)
curl --silent --show-error --fail --unix-socket "$socket" "http://localhost$path"

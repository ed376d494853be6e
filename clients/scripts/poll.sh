#!/bin/sh
# Follows events, one a line, with nothing but curl and jq:  ./poll.sh [since]
# Each call waits for up to a minute for the first event, and the next one asks for what came after.
set -eu
rpc=${0%/*}/rpc.sh
seq=${1:-$(echo '{}' | "$rpc" get_events | jq .result.seq)}
while :; do
    page=$(printf '{"since":%s,"timeout":60}' "$seq" | "$rpc" get_events)
    # After an error (`cursorExpired`: the daemon has restarted) it is up to you.
    seq=$(printf %s "$page" | jq --exit-status .result.seq) || { printf '%s\n' "$page" >&2; exit 1; }
    printf %s "$page" | jq --compact-output '.result.events[]'
done

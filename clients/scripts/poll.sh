#!/bin/sh
# Follows events, one per line, with only curl and jq:  ./poll.sh [since]
# Each call waits up to a minute for the first event; the next call asks for what came after. An error ends it, and so
# does a restart of the daemon: watch.sh goes on.
set -eu
rpc=${0%/*}/rpc.sh
seq=${1-}
if [ -z "$seq" ]; then
    now=$(echo '{}' | "$rpc" get_events)
    seq=$(printf %s "$now" | jq .result.seq)
fi
while :; do
    page=$(printf '{"since":%s,"timeout":60}' "$seq" | "$rpc" get_events)
    seq=$(printf %s "$page" | jq .result.seq)
    printf %s "$page" | jq --compact-output '.result.events[]'
done

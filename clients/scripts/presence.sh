#!/bin/sh
# Sets our presence:  ./presence.sh dnd 'In a rehearsal'
set -eu
[ $# -gt 0 ] || { echo "usage: $0 AVAILABILITY [STATUS]" >&2; exit 64; }
status=$(printf %s "${2-}" | sed 's/[\\"]/\\&/g')
printf '{"availability":"%s"%s}' "$1" "${status:+,\"status\":\"$status\"}" | "${0%/*}/rpc.sh" set_presence

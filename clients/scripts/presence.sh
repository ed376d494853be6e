#!/bin/sh
# Sets our presence:  ./presence.sh dnd 'In a rehearsal'
set -eu
status=$(printf %s "${2-}" | sed 's/[\\"]/\\&/g')
printf '{"availability":"%s"%s}' "$1" "${status:+,\"status\":\"$status\"}" | "${0%/*}/rpc.sh" set_presence

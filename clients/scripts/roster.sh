#!/bin/sh
# Prints the contacts:  ./roster.sh [me@example.org] | jq '.result.contacts[] | {jid, availability}'
set -eu
printf '{%s}' "${1:+\"account\":\"$1\"}" | "${0%/*}/rpc.sh" load_roster

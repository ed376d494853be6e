#!/bin/sh
# Calls a method:  echo '{"jid":"romeo@example.net"}' | ./rpc.sh get_contact
# Prints the response. If it is an error, it goes to standard error instead, and the exit code is 1. Uses the Unix
# socket, which needs no token. Reads the parameters from standard input, because every user can read command lines.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 METHOD < PARAMETERS" >&2; exit 64; }
. "${0%/*}/endpoint.sh"
response=$({ printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":' "$1"; cat; printf '}'; } |
    curl --silent --show-error --unix-socket "$socket" --header 'Content-Type: application/json' \
        --data-binary @- http://localhost/rpc) ||
    { [ $? -ne 7 ] || echo "prosed is not running (nothing listens at $socket)" >&2; exit 69; }
case $response in
    # No error has a member of this name. In a string, the quotation marks would be escaped.
    *'"result":'*) printf '%s\n' "$response" ;;
    *) printf '%s\n' "$response" >&2; exit 1 ;;
esac

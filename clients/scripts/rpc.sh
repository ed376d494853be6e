#!/bin/sh
# Calls a method:  echo '{"jid":"romeo@example.net"}' | ./rpc.sh get_contact
# Over the Unix socket, which asks for no token. The parameters, a password say, come from standard
# input: what is in a command line, every user can read.
set -eu
. "${0%/*}/endpoint.sh"
{ printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":' "$1"; cat; printf '}'; } |
    curl --silent --show-error --unix-socket "$socket" --header 'Content-Type: application/json' \
        --data-binary @- http://localhost/rpc ||
    { [ $? -ne 7 ] || echo "prosed is not running (nobody listens at $socket)" >&2; exit 69; }
echo

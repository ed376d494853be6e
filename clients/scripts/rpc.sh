#!/bin/sh
# Calls a method:  echo '{"jid":"romeo@example.net"}' | ./rpc.sh get_contact
# The token goes to curl by a file descriptor: what is in a command line, every user can read.
set -eu
. "${0%/*}/endpoint.sh"
{ printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":' "$1"; cat; printf '}'; } |
    curl --silent --show-error --noproxy '*' --header @/dev/fd/3 --header 'Content-Type: application/json' \
        --data-binary @- "http://$door" 3<<HEADER
Authorization: Bearer $(cat "$token")
HEADER
echo

#!/bin/sh
# Calls a method over the port:  echo '{"jid":"romeo@example.net"}' | ./rpc-port.sh get_contact
# The token goes to curl by a file descriptor, and so into no command line.
set -eu
. "${0%/*}/endpoint.sh"
{ printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":' "$1"; cat; printf '}'; } |
    curl --silent --show-error --noproxy '*' --header @/dev/fd/3 --header 'Content-Type: application/json' \
        --data-binary @- "http://$door" 3<<HEADER
Authorization: Bearer $(cat "$token")
HEADER
echo

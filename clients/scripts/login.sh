#!/bin/sh
# Logs in, with the password from standard input:  ./login.sh me@example.org < password-file
# More parameters may follow as JSON:  ./login.sh me@example.org '"host":"127.0.0.1","port":5222'
set -eu
[ $# -gt 0 ] || { echo "usage: $0 JID < PASSWORD-FILE" >&2; exit 64; }
[ ! -t 0 ] || { printf 'Password for %s: ' "$1" >&2; trap 'stty echo; echo >&2' EXIT; stty -echo; }
IFS= read -r password || [ "$password" ]
password=$(printf %s "$password" | sed 's/[\\"]/\\&/g')
printf '{"jid":"%s","password":"%s"%s}' "$1" "$password" "${2:+,$2}" | "${0%/*}/rpc.sh" login

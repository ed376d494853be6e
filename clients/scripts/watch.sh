#!/bin/sh
# Prints all contacts, then each change, one line of JSON at a time:  ./watch.sh [me@example.org]
# A line with "contacts" has all of them and replaces what was shown before; one with "changed" and "removed" has the
# contacts that are different, and the JIDs of those that are gone. Survives restarts of the daemon: it waits until
# prosed is there again, and then prints all contacts again. Needs curl and jq.
set -eu
rpc=${0%/*}/rpc.sh
account=$(jq --null-input --compact-output --arg account "${1-}" 'if $account == "" then {} else {$account} end')
seq= said=
while :; do
    if [ "$seq" ]; then
        method=get_events
        params=$(printf %s "$account" | jq ". + {since: $seq, events: [\"contactChanged\"], timeout: 60}")
        lines='.events[] | {changed: .contacts, removed}'
    else
        method=load_roster params=$account lines='{contacts}'
    fi
    code=0
    answer=$(printf %s "$params" | "$rpc" "$method" 2>&1) || code=$?
    case $code in
        0)
            printf %s "$answer" | jq --compact-output ".result | $lines"
            [ "$seq" ] || account=$(printf %s "$answer" | jq '{account: .result.account}')
            seq=$(printf %s "$answer" | jq .result.seq)
            said=
            continue
            ;;
        1)
            # The events after $seq are gone, so what was printed may be out of date. A restart discards them all.
            if printf %s "$answer" | jq --exit-status '.error.data.kind == "cursorExpired"' > /dev/null; then
                seq=
                continue
            fi
            printf %s "$answer" | jq --exit-status .error.data.retryable > /dev/null ||
                { printf '%s\n' "$answer" >&2; exit 1; }
            ;;
        69) ;; # prosed is not running, or has just ended.
        *) printf '%s\n' "$answer" >&2; exit "$code" ;;
    esac
    [ "$answer" = "$said" ] || printf '%s\n' "$answer" >&2
    said=$answer
    sleep 1
done

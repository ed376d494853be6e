# Finds the daemon, for the scripts beside it: $socket, its Unix socket. Leaves where another user might
# listen there: what the scripts say, a password for example, is for prosed only.
dir=${PROSED_RUNTIME_DIR:-${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/prosed}}
dir=${dir:-${XDG_DATA_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.local/share}/prosed/run}
socket=$dir/prosed.sock # Where systemd holds it, the daemon starts when somebody knocks.
if [ -O "$dir/endpoint.json" ]; then
    socket=$(sed -n 's|.*"socket" *: *"\([^"]*\)".*|\1|p' "$dir/endpoint.json")
fi
if ! [ -S "$socket" ]; then
    echo "prosed is not running (there is no ${socket:-socket})" >&2
    exit 69
fi
folder=${socket%/*}
if ! [ -O "$socket" ] || ! [ -O "$folder" ] || [ "$(find "$folder/." -prune \( -perm -20 -o -perm -2 \))" ]; then
    echo "others than you may listen at $socket: nothing was sent there" >&2
    exit 77
fi

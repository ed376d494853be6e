# For the other scripts: sets $socket to the path of the daemon's Unix socket. Exits if another user could be listening
# there, because the scripts may send a password.
dir=${PROSED_RUNTIME_DIR:-${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/prosed}}
dir=${dir:-${XDG_DATA_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.local/share}/prosed/run}
socket=$dir/prosed.sock # If systemd holds the socket, connecting starts the daemon.
if [ -O "$dir/endpoint.json" ]; then
    socket=$(sed -n 's|.*"socket" *: *"\([^"]*\)".*|\1|p' "$dir/endpoint.json")
fi
if ! [ -S "$socket" ]; then
    echo "prosed is not running (there is no ${socket:-socket})" >&2
    exit 69
fi
folder=${socket%/*}
if ! [ -O "$socket" ] || ! [ -O "$folder" ] || [ "$(find "$folder/." -prune \( -perm -20 -o -perm -2 \))" ]; then
    echo "another user could be listening at $socket: nothing was sent" >&2
    exit 77
fi

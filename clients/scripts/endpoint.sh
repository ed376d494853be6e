# Finds the daemon, for the scripts beside it: $socket, its Unix socket; $door, its port, as in
# 127.0.0.1:5299/rpc; $token, the file of the token that the port asks for.
dir=${PROSED_RUNTIME_DIR:-${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/prosed}}
dir=${dir:-${XDG_DATA_HOME:-$HOME/.local/share}/prosed/run}
socket=$dir/prosed.sock door='' token=$dir/token
if [ -r "$dir/endpoint.json" ]; then
    read_field() { sed -n "s|.*\"$1\" *: *\"\([^\"]*\)\".*|\1|p" "$dir/endpoint.json"; }
    socket=$(read_field socket) door=$(read_field url | sed 's|^ws://||') token=$(read_field token_file)
elif ! [ -S "$socket" ]; then # Where systemd holds it, the daemon starts when somebody knocks.
    echo "prosed is not running (there is no $dir/endpoint.json)" >&2
    exit 69
fi

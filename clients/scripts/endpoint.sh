# Finds the daemon, for the scripts beside it: $door is 127.0.0.1:5299/rpc, $token the token's file.
dir=${PROSED_RUNTIME_DIR:-${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/prosed}}
file=${dir:-${XDG_DATA_HOME:-$HOME/.local/share}/prosed/run}/endpoint.json
[ -r "$file" ] || { echo "prosed is not running (there is no $file)" >&2; exit 69; }
door=$(sed -n 's|.*"url" *: *"ws://\([^"]*\)".*|\1|p' "$file")
token=$(sed -n 's|.*"token_file" *: *"\([^"]*\)".*|\1|p' "$file")

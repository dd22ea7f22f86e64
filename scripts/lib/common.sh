# shellcheck shell=bash
# What every script of the project says and asks the same way. Sourced, never run.

# say TEXT: one line of progress, on stderr so that stdout stays for answers.
say() { printf '%s\n' "$*" >&2; }

# warn TEXT: something the reader should know, the work goes on.
warn() { printf 'warning: %s\n' "$*" >&2; }

# die TEXT [HINT]: the work cannot go on; HINT says what to do.
die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2
    exit 1
}

# seconds_since START: seconds with one decimal since START (a value of EPOCHREALTIME).
seconds_since() {
    local now=${EPOCHREALTIME/[.,]/} start=${1/[.,]/}
    local tenths=$(((now - start) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# json_string TEXT: TEXT as a JSON string, quotes included.
json_string() {
    local s=$1
    s=${s//\\/\\\\}
    s=${s//\"/\\\"}
    s=${s//$'\n'/\\n}
    s=${s//$'\t'/\\t}
    printf '"%s"' "$s"
}

# need COMMAND=PACKAGE...: installs the Debian packages of the commands that are missing, when root may;
# otherwise says which are missing and ends.
need() {
    local pair missing=() commands=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null 2>&1; then
            commands+=("${pair%%=*}")
            missing+=("${pair#*=}")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        die "missing on this machine: ${commands[*]}" "as root: apt-get install ${missing[*]}"
    fi
    say "missing on this machine: ${commands[*]}; installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null || die 'apt-get update failed' 'check the network and /etc/apt'
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get install ${missing[*]} failed" 'run it by hand to see why'
}

# shellcheck shell=bash
# The instance: all nodes of one name. Sourced by scripts/sandbox.

# instance_setup: names and folders; changes nothing.
instance_setup() {
    local checkout
    checkout=$(dirname "$(dirname "$SELF")")
    INSTANCE=${MONOPG_SANDBOX:-co-$(digest "$checkout" | cut -c1-6)}
    [[ $INSTANCE =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] || die "MONOPG_SANDBOX=$INSTANCE is no name for an instance" 'lower-case letters, digits and dashes, at most 31'
    CACHE=${MONOPG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/monopg}
    mkdir -p "$CACHE/sandbox"
    CACHE=$(realpath "$CACHE")/sandbox
    INSTANCE_DIR=$CACHE/instances/$INSTANCE
    # unique on the machine, also for two caches with an instance of the same name
    INSTANCE_ID=$INSTANCE-$(digest "$INSTANCE_DIR" | cut -c1-6)
    CGROUP=monopg-sandbox
    NET=$(cat "$INSTANCE_DIR/net" 2>/dev/null || true)
    REPLY=
}

# lock: one command at a time changes the instance. The lock ends with its holder, however that ends.
lock() {
    local file=$CACHE/instances/.$INSTANCE.lock
    mkdir -p "$CACHE/instances"
    while :; do
        exec 9>"$file"
        if ! flock -n 9; then
            say "another command works on instance $INSTANCE; waiting"
            flock 9
        fi
        # down removes the file: start over when it is not the one that was locked
        if [ "$(stat -c %i "$file" 2>/dev/null)" = "$(stat -Lc %i /proc/self/fd/9)" ]; then return; fi
    done
}
unlock() { exec 9>&-; }

# choose_net: the instance's /24, free on this machine.
choose_net() {
    local n tries
    if [ -n "${MONOPG_SANDBOX_NET:-}" ]; then
        [[ $MONOPG_SANDBOX_NET =~ ^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$ ]] || die "MONOPG_SANDBOX_NET=$MONOPG_SANDBOX_NET is no /24" 'three numbers, as 10.77.5'
        [ -z "$NET" ] || [ "$NET" = "$MONOPG_SANDBOX_NET" ] || die "instance $INSTANCE has nodes in $NET.0/24" 'scripts/sandbox down first, or unset MONOPG_SANDBOX_NET'
        NET=$MONOPG_SANDBOX_NET
    elif [ -z "$NET" ]; then
        n=$((16#$(digest "$INSTANCE_ID" | cut -c1-6) % 254 + 1))
        for ((tries = 0; tries < 254; tries++)); do
            NET=10.77.$n
            net_taken || break
            n=$((n % 254 + 1))
        done
        [ "$tries" -lt 254 ] || die 'every 10.77.N.0/24 is taken on this machine' 'set MONOPG_SANDBOX_NET'
    fi
    if net_taken; then die "$NET.0/24 is taken on this machine" 'set MONOPG_SANDBOX_NET to another one, as 10.77.5'; fi
    echo "$NET" >"$INSTANCE_DIR/net"
}
# net_taken: another instance has it, or a link that is not ours.
net_taken() {
    local file
    for file in "$CACHE"/instances/*/net; do
        [ "$file" = "$INSTANCE_DIR/net" ] || ! [ -f "$file" ] || [ "$(cat "$file")" != "$NET" ] || return 0
    done
    ip -4 -o addr show | grep -v "^[0-9]*: mp${INSTANCE_ID##*-}n" | grep -q " ${NET//./\\.}\."
}

instance_create() {
    mkdir -p "$INSTANCE_DIR/nodes"
    choose_net
    if [ ! -f "$INSTANCE_DIR/key" ]; then
        rm -f "$INSTANCE_DIR/key.new"*
        ssh-keygen -q -t ed25519 -N '' -C "monopg-sandbox $INSTANCE" -f "$INSTANCE_DIR/key.new"
        mv "$INSTANCE_DIR/key.new.pub" "$INSTANCE_DIR/key.pub"
        mv "$INSTANCE_DIR/key.new" "$INSTANCE_DIR/key"
    fi
    (umask 077 && printf '%s' "$ADMIN_PASSWORD" >"$INSTANCE_DIR/admin-password")
}

need_tools() {
    need mmdebstrap=mmdebstrap systemd-nspawn=systemd-container ip=iproute2 ssh=openssh-client \
        python3=python3-minimal setpriv=util-linux nsenter=util-linux tar=tar flock=util-linux awk=mawk
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || die 'the kernel has no overlay file system'
    awk '$3 == "cgroup" || $3 == "cgroup2" {found = 1} END {exit !found}' /proc/self/mounts || die 'no cgroup hierarchy is mounted'
}

# the_nodes DEFAULT...: sets NODES when none were named.
the_nodes() { [ ${#NODES[@]} -gt 0 ] || NODES=("$@"); }

# existing: every one of NODES must exist.
existing() {
    local node
    for node in "${NODES[@]}"; do
        [ -f "$(node_dir "$node")/config" ] || die "instance $INSTANCE has no node $node" "scripts/sandbox up --node $node"
    done
}

# one_node: the named node, or the only one; must exist.
one_node() {
    local all
    mapfile -t all < <(nodes)
    if [ ${#NODES[@]} -eq 0 ]; then
        [ ${#all[@]} -gt 0 ] || die "instance $INSTANCE has no node" 'scripts/sandbox up'
        [ ${#all[@]} -eq 1 ] || die "instance $INSTANCE has several nodes: ${all[*]}" 'say which: --node NAME'
        NODES=("${all[0]}")
    fi
    existing
}

# wait_all START: waits for all of NODES side by side.
wait_all() {
    local node failed=0 pids=() i start=$1
    [ -n "$WAIT" ] || return 0
    for node in "${NODES[@]}"; do
        (
            node_wait "$node" "$TIMEOUT"
            say "$node: $(address "$node") ready after $(seconds_since "$start") s"
        ) &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do wait "${pids[$i]}" || failed=1; done
    [ $failed = 0 ] || exit 1
}

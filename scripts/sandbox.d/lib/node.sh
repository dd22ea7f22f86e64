# shellcheck shell=bash
# One node: its folder, its processes, its boots. Sourced by scripts/sandbox.
#
# $INSTANCE_DIR/nodes/NAME holds: config (what supervise reads), mode (k3s | light), machine-id and
# hostkeys (kept over reset), upper, work, root (overlay), rancher, kubelet (real folders: containerd
# cannot keep its snapshots on an overlay), run (pid files), console.log.

node_dir() { echo "$INSTANCE_DIR/nodes/$1"; }
nodes() { [ ! -d "$INSTANCE_DIR/nodes" ] || ls "$INSTANCE_DIR/nodes"; }

# started PID: when a living process started, in clock ticks; with the pid it names a process for good.
started() { awk '{sub(/.*\) /, "")} $1 != "Z" {print $20}' "/proc/$1/stat" 2>/dev/null; }

# supervisor NODE: pid of the living supervisor, nothing when there is none.
supervisor() {
    local pid since
    [ -f "$(node_dir "$1")/run/supervisor" ] || return 0
    read -r pid since <"$(node_dir "$1")/run/supervisor" || return 0
    [ "$(started "$pid")" != "$since" ] || echo "$pid"
}

# machine NODE: pid of the machine's init, seen from outside; nothing when it does not run.
# It is the process of the node's group that is number 1 one namespace below ours (pods are deeper).
machine() {
    local pids
    mapfile -t pids < <(cgroup_pids "$INSTANCE_ID/$1")
    [ ${#pids[@]} -gt 0 ] || return 0
    pids=("${pids[@]/#//proc/}")
    { cat "${pids[@]/%//status}" 2>/dev/null || true; } | # some end meanwhile
        awk '/^Name:/ {name = $2} /^Pid:/ {pid = $2} /^NSpid:/ && NF == 3 && $3 == 1 && name == "systemd" {found = pid} END {if (found) print found}'
}

# state NODE: absent | running | stopped | stale (processes without their supervisor).
state() {
    if [ ! -d "$(node_dir "$1")" ]; then
        echo absent
    elif [ -n "$(supervisor "$1")" ]; then
        echo running
    elif [ -n "$(cgroup_pids "$INSTANCE_ID/$1")" ]; then
        echo stale
    else
        echo stopped
    fi
}

address() { cat "$(node_dir "$1")/address"; }
mode() { cat "$(node_dir "$1")/mode"; }

link_of() {
    local a
    a=$(address "$1")
    echo "mp${INSTANCE_ID##*-}n${a##*.}"
}

# node_create NODE: its folder and what stays with it for good: address, host keys, machine id.
node_create() {
    local n octet=2
    n=$(node_dir "$1")
    [ ! -f "$n/address" ] || return 0
    while grep -qx "$NET.$octet" "$INSTANCE_DIR"/nodes/*/address 2>/dev/null; do octet=$((octet + 1)); done
    [ $octet -lt 255 ] || die "no address left in $NET.0/24"
    mkdir -p "$n/run" "$n/hostkeys/etc/ssh"
    ssh-keygen -A -f "$n/hostkeys" >/dev/null
    tr -d - </proc/sys/kernel/random/uuid >"$n/machine-id"
    echo "$NET.$octet" >"$n/address"
}

# write_known_hosts: the real host keys of all nodes of the instance.
write_known_hosts() {
    local n f new=$INSTANCE_DIR/known_hosts.new
    : >"$new"
    for n in $(nodes); do
        [ -f "$(node_dir "$n")/address" ] || continue
        for f in "$(node_dir "$n")"/hostkeys/etc/ssh/ssh_host_*_key.pub; do
            echo "$(address "$n") $(cut -d' ' -f1,2 "$f")" >>"$new"
        done
    done
    mv "$new" "$INSTANCE_DIR/known_hosts"
}

# node_wipe NODE: ends it and removes its disk; keys and address stay.
node_wipe() {
    local n
    n=$(node_dir "$1")
    node_stop "$1"
    rm -rf --one-file-system "$n"/{upper,work,root,rancher,kubelet,config,console.log,supervisor.log}
}

# node_stop NODE: power off, at once.
node_stop() {
    cgroup_clear "$INSTANCE_ID/$1"
    [ ! -f "$(node_dir "$1")/address" ] || ip link del "$(link_of "$1")" 2>/dev/null || true
    rm -f "$(node_dir "$1")/run/supervisor"
}

# copy_golden TO: /var/lib/rancher of a fresh node. Images are never written to, only replaced or
# removed: they are links. Databases and everything else are copies.
copy_golden() {
    local content=k3s/agent/containerd/io.containerd.content.v1.content/blobs
    local snapshots=k3s/agent/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots part
    tar -C "$GOLDEN" --exclude="./$content/*" --exclude="./$snapshots/*" -cf - . | tar -C "$1" -xpf - ||
        die "copying $GOLDEN failed"
    for part in $content $snapshots; do
        cp -al "$GOLDEN/$part/." "$1/$part/" 2>/dev/null || cp -a "$GOLDEN/$part/." "$1/$part/"
    done
}

# node_make NODE MODE: a fresh disk.
node_make() {
    local n=$INSTANCE_DIR/nodes/$1 mode=$2 lower user home
    mkdir -p "$n"/{upper/etc/ssh,upper/root,work,root}
    if [ "$mode" = k3s ]; then
        lower=$LAYERS/k3s:$LAYERS/os:$BASE
        mkdir -p "$n"/{rancher,kubelet}
        copy_golden "$n/rancher"
    else
        lower=$LAYERS/os:$BASE
    fi
    echo "$1" >"$n/upper/etc/hostname"
    printf '127.0.0.1 localhost\n%s %s\n' "$(address "$1")" "$1" >"$n/upper/etc/hosts"
    cp "$n/machine-id" "$n/upper/etc/machine-id"
    cp -p "$n"/hostkeys/etc/ssh/ssh_host_* "$n/upper/etc/ssh/"
    for user in root ops admin nosudo; do
        home=$n/upper/home/$user
        [ $user != root ] || home=$n/upper/root
        mkdir -p "$home/.ssh"
        cp "$INSTANCE_DIR/key.pub" "$home/.ssh/authorized_keys"
        chmod 700 "$home" "$home/.ssh"
        chmod 600 "$home/.ssh/authorized_keys"
        chown -R "$(awk -F: -v u=$user '$1 == u {print $3 ":" $4}' "$BASE/etc/passwd")" "$home"
    done
    cat >"$n/config" <<C
LOWER='$lower'
HOSTNAME='$1'
ADDRESS='$(address "$1")'
GATEWAY='$NET.1'
LINK='$(link_of "$1")'
LABEL='monopg-sandbox $INSTANCE $1'
C
    echo "$mode" >"$n/mode"
}

# node_boot NODE: starts it, detached from this shell and from whatever this shell was given.
node_boot() {
    local n i
    n=$(node_dir "$1")
    ip link del "$(link_of "$1")" 2>/dev/null || true
    cp "$HERE/supervise" "$n/run/supervise" # a checkout may change under a node that runs for days
    cgroup_enter_command "$INSTANCE_ID/$1"
    # shellcheck disable=SC2016 # expanded by the new shell
    setsid -f bash -c '
        for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || eval "exec $fd>&-"; done 2>/dev/null
        cd /; '"$REPLY"' exec unshare --mount --propagation private bash "$1/run/supervise" "$1"' \
        - "$n" </dev/null >>"$n/supervisor.log" 2>&1
    for ((i = 0; i < 100; i++)); do
        [ -z "$(machine "$1")" ] || return 0
        sleep 0.05
    done
    tail -n 5 "$n/supervisor.log" "$n/console.log" >&2
    # A machine that gets none ends without a word.
    python3 -c 'import ctypes, sys; c = ctypes.CDLL(None); sys.exit(any([c.inotify_init() < 0 for _ in range(6)]))' ||
        die "node $1 does not start: root has used up its inotify instances, $(cat /proc/sys/fs/inotify/max_user_instances) on this machine" \
            'sysctl -w fs.inotify.max_user_instances=1024, or end other nodes with scripts/sandbox down'
    die "node $1 does not start" "see $n/supervisor.log and $n/console.log"
}

# in_node NODE COMMAND...: runs a command as root in the node, without ssh.
in_node() {
    local pid
    pid=$(machine "$1")
    [ -n "$pid" ] || die "node $1 does not run" "scripts/sandbox up --node $1"
    shift
    nsenter -t "$pid" -m -u -i -n -p -C -r -w env -i HOME=/root TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# node_wait NODE SECONDS: until sshd answers and, with k3s, the cluster is ready.
node_wait() {
    local deadline=$((SECONDS + $2)) a banner
    a=$(address "$1")
    until banner=$(timeout 2 bash -c "exec 3<>/dev/tcp/$a/22 && head -c 4 <&3" 2>/dev/null) && [ "$banner" = SSH- ]; do
        if [ $SECONDS -ge $deadline ] || [ -z "$(supervisor "$1")" ]; then
            tail -5 "$(node_dir "$1")/console.log" >&2
            die "node $1: sshd does not answer" "scripts/sandbox logs --node $1 --console"
        fi
        sleep 0.1
    done
    [ "$(mode "$1")" = k3s ] || return 0
    in_node "$1" /usr/local/lib/sandbox/wait-ready $((deadline - SECONDS)) ||
        die "node $1: the cluster is not ready after $2 s" "scripts/sandbox logs --node $1 -u k3s"
}

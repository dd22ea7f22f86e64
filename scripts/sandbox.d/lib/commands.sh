# shellcheck shell=bash
# The commands, one function each; options are in the variables that scripts/sandbox sets. Sourced.

# fresh NODE: a fresh disk, as light or as full as asked, else as it was, else with k3s.
fresh() {
    local mode=$MODE
    [ -n "$mode" ] || mode=$(cat "$(node_dir "$1")/mode" 2>/dev/null || echo k3s)
    node_wipe "$1"
    node_make "$1" "$mode"
}

cmd_up() {
    local node start all
    need_tools
    build_all
    start=$EPOCHREALTIME
    mapfile -t all < <(nodes)
    the_nodes ${all[@]+"${all[@]}"}
    the_nodes node1
    lock
    instance_create
    for node in "${NODES[@]}"; do
        node_create "$node"
        if [ -f "$(node_dir "$node")/config" ] && [ -n "$MODE" ] && [ "$MODE" != "$(mode "$node")" ]; then
            die "node $node exists as a $(mode "$node") node" "scripts/sandbox reset --$MODE --node $node"
        fi
        if [ "$(state "$node")" != running ]; then
            node_stop "$node" # whatever a killed run left
            # a disk without config was cut off while it was made
            [ -f "$(node_dir "$node")/config" ] || fresh "$node"
            node_boot "$node"
        fi
    done
    write_known_hosts
    unlock
    wait_all "$start"
}

cmd_reset() {
    local node start all
    mapfile -t all < <(nodes)
    the_nodes ${all[@]+"${all[@]}"}
    [ ${#NODES[@]} -gt 0 ] || die "instance $INSTANCE has no node" 'scripts/sandbox up'
    need_tools
    build_all
    start=$EPOCHREALTIME
    lock
    existing
    for node in "${NODES[@]}"; do
        fresh "$node"
        node_boot "$node"
    done
    unlock
    wait_all "$start"
}

cmd_down() {
    local node whole='' all
    [ ${#NODES[@]} -gt 0 ] || whole=yes
    lock
    mapfile -t all < <(nodes)
    the_nodes ${all[@]+"${all[@]}"}
    for node in ${NODES[@]+"${NODES[@]}"}; do
        [ -d "$(node_dir "$node")" ] || continue
        node_wipe "$node"
        rm -rf --one-file-system "$(node_dir "$node")"
    done
    [ -z "$whole" ] || cgroup_clear "$INSTANCE_ID"
    if [ -z "$(nodes)" ]; then
        rm -rf --one-file-system "$INSTANCE_DIR"
        rm -f "$CACHE/instances/.$INSTANCE.lock"
    else
        write_known_hosts
    fi
    unlock
}

cmd_reboot() {
    local node start=$EPOCHREALTIME before=() i all now deadline
    mapfile -t all < <(nodes)
    the_nodes ${all[@]+"${all[@]}"}
    existing
    for node in "${NODES[@]}"; do
        before+=("$(machine "$node")")
        # It may be ended by the reboot that it asks for.
        in_node "$node" systemctl reboot || true
    done
    for i in "${!NODES[@]}"; do
        deadline=$((SECONDS + TIMEOUT))
        until now=$(machine "${NODES[$i]}") && [ -n "$now" ] && [ "$now" != "${before[$i]}" ]; do
            [ $SECONDS -lt $deadline ] || die "node ${NODES[$i]} does not come back" "scripts/sandbox logs --node ${NODES[$i]} --console"
            sleep 0.1
        done
    done
    wait_all "$start"
}

cmd_powercut() {
    local node start=$EPOCHREALTIME pid all
    mapfile -t all < <(nodes)
    the_nodes ${all[@]+"${all[@]}"}
    lock
    existing
    for node in "${NODES[@]}"; do
        pid=$(machine "$node")
        [ -z "$pid" ] || kill -9 "$pid"
        node_stop "$node"
        [ -n "$OFF" ] || node_boot "$node"
    done
    unlock
    [ -n "$OFF" ] || wait_all "$start"
}

cmd_status() {
    local node pid first=yes
    if [ -z "$JSON" ]; then
        echo "instance $INSTANCE${NET:+ on $NET.0/24}, folder $INSTANCE_DIR"
        for node in $(nodes); do
            printf '  %-12s %-15s %-6s %s\n' "$node" "$(address "$node")" "$(mode "$node" 2>/dev/null)" "$(state "$node")"
        done
        [ -n "$(nodes)" ] || echo '  no nodes'
        return
    fi
    printf '{"instance":%s,"folder":%s,"net":%s,"key":%s,"known_hosts":%s,"admin_password_file":%s,"users":["root","ops","admin","nosudo"],"nodes":[' \
        "$(json_string "$INSTANCE")" "$(json_string "$INSTANCE_DIR")" "$(json_string "$NET")" "$(json_string "$INSTANCE_DIR/key")" \
        "$(json_string "$INSTANCE_DIR/known_hosts")" "$(json_string "$INSTANCE_DIR/admin-password")"
    for node in $(nodes); do
        [ -n "$first" ] || printf ','
        first=
        pid=$(machine "$node")
        printf '{"name":%s,"address":%s,"port":22,"gateway":%s,"mode":%s,"state":%s,"init_pid":%s,"root":%s}' \
            "$(json_string "$node")" "$(json_string "$(address "$node")")" "$(json_string "$NET.1")" \
            "$(json_string "$(mode "$node" 2>/dev/null)")" "$(json_string "$(state "$node")")" \
            "${pid:-null}" "$(if [ -n "$pid" ]; then json_string "/proc/$pid/root"; else echo null; fi)"
    done
    printf ']}\n'
}

cmd_ssh() {
    one_node
    exec ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$INSTANCE_DIR/known_hosts" \
        -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR -i "$INSTANCE_DIR/key" "$USER_NAME@$(address "${NODES[0]}")" ${REST[@]+"${REST[@]}"}
}

cmd_exec() {
    one_node
    [ ${#REST[@]} -gt 0 ] || die 'exec wants a command' 'scripts/sandbox exec -- COMMAND...'
    in_node "${NODES[0]}" "${REST[@]}"
}

cmd_logs() {
    local args=()
    one_node
    if [ -n "$CONSOLE" ]; then
        cat "$(node_dir "${NODES[0]}")/console.log"
        return
    fi
    [ -z "$UNIT" ] || args+=(-u "$UNIT")
    [ -z "$FOLLOW" ] || args+=(-f)
    if [ -n "$(machine "${NODES[0]}")" ]; then
        in_node "${NODES[0]}" journalctl --no-pager ${args[@]+"${args[@]}"} ${REST[@]+"${REST[@]}"}
    else
        journalctl --no-pager -D "$(node_dir "${NODES[0]}")/upper/var/log/journal" ${args[@]+"${args[@]}"} ${REST[@]+"${REST[@]}"}
    fi
}

cmd_addr() {
    one_node
    address "${NODES[0]}"
}

cmd_env() {
    local node all
    all=$(nodes)
    cat <<C
MONOPG_SANDBOX='$INSTANCE'
SANDBOX_FOLDER='$INSTANCE_DIR'
SANDBOX_KEY='$INSTANCE_DIR/key'
SANDBOX_KNOWN_HOSTS='$INSTANCE_DIR/known_hosts'
SANDBOX_ADMIN_PASSWORD_FILE='$INSTANCE_DIR/admin-password'
SANDBOX_NODES='${all//$'\n'/ }'
C
    for node in $all; do echo "SANDBOX_ADDRESS_${node//-/_}='$(address "$node")'"; done
}

cmd_inventory() {
    local node
    printf 'all:\n  vars:\n    ansible_user: root\n    ansible_ssh_private_key_file: %s\n    ansible_ssh_common_args: "-o UserKnownHostsFile=%s"\n  hosts:\n' \
        "$INSTANCE_DIR/key" "$INSTANCE_DIR/known_hosts"
    for node in $(nodes); do printf '    %s:\n      ansible_host: %s\n' "$node" "$(address "$node")"; done
}

cmd_build() {
    need_tools
    build_all
    build_all helm_archive 3
    build_all helm_archive 4
}

cmd_artifact() {
    local name
    [ ${#REST[@]} -gt 0 ] || die 'artifact wants a name' 'helm3 helm4 registry toxiproxy kubectl'
    for name in "${REST[@]}"; do
        case $name in
        helm3) build_all helm_archive 3 ;;
        helm4) build_all helm_archive 4 ;;
        *) build_all program "$name" ;;
        esac
        echo "$REPLY"
    done
}

cmd_prune() {
    local used p name
    build_all
    exec 8>"$CACHE/build.lock"
    flock 8
    used="$GOLDEN $LAYERS $BASE $IMAGES $POSTGRES $POSTGRES.exporter $(cat "$CACHE"/instances/*/nodes/*/config 2>/dev/null || true)"
    for p in "$CACHE"/{golden,layers,base,images,postgres}-*; do
        [ -e "$p" ] || continue
        case $used in *"$p"*) ;; *) rm -rf --one-file-system "$p" ;; esac
    done
    exec 8>&-
    for name in pause kube kubectl netpol local-path coredns; do
        build_all program $name
        for p in "$CACHE/programs/$name"-*; do [ "$p" = "$REPLY" ] || rm -f "$p"; done
    done
}

# shellcheck shell=bash
# A control group of its own for each node: its processes are found and ended by it, never by name,
# and the pods' groups of two nodes (same names, the copies are alike) stay apart. Sourced.

# cgroup_trees: the mount points of the machine's cgroup hierarchies.
cgroup_trees() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

# cgroup_enter_command PATH: makes the group in every hierarchy; $REPLY is a shell fragment that moves
# the shell which runs it there.
cgroup_enter_command() {
    local tree group part controllers
    REPLY=
    while read -r tree; do
        group=$tree/$CGROUP/$1
        mkdir -p "$group" 2>/dev/null || continue
        if [ -e "$tree/cpuset.cpus" ]; then # v1: a new group may use no processor until told which
            part=$tree
            for p in ${CGROUP//\// } ${1//\// }; do
                cat "$part/cpuset.cpus" >"$part/$p/cpuset.cpus"
                cat "$part/cpuset.mems" >"$part/$p/cpuset.mems"
                part=$part/$p
            done
        fi
        if [ "$tree" = /sys/fs/cgroup ]; then # v2 alone: hand the controllers down
            part=$tree
            for p in ${CGROUP//\// } ${1//\// }; do
                for controllers in cpuset cpu io memory hugetlb pids; do
                    echo "+$controllers" >"$part/cgroup.subtree_control" 2>/dev/null || true
                done
                part=$part/$p
            done
        fi
        REPLY+="echo \$\$ >$group/cgroup.procs;"
    done < <(cgroup_trees)
}

# cgroup_pids PATH: every process in the group and below, once.
cgroup_pids() {
    local tree
    while read -r tree; do
        [ -d "$tree/$CGROUP/$1" ] || continue
        find "$tree/$CGROUP/$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done < <(cgroup_trees) | sort -un
}

# cgroup_clear PATH: ends every process in the group, waits for that, removes the group.
cgroup_clear() {
    local tree pids i
    for ((i = 0; i < 200; i++)); do
        mapfile -t pids < <(cgroup_pids "$1")
        [ ${#pids[@]} -gt 0 ] || break
        kill -9 "${pids[@]}" 2>/dev/null || true
        sleep 0.05
    done
    [ ${#pids[@]} -eq 0 ] || warn "processes that do not end: ${pids[*]}"
    while read -r tree; do
        [ -d "$tree/$CGROUP" ] || continue
        if [ -d "$tree/$CGROUP/$1" ]; then
            for ((i = 0; i < 20; i++)); do # a group is busy for a moment after its last process
                find "$tree/$CGROUP/$1" -depth -type d -exec rmdir {} + 2>/dev/null && break
                sleep 0.05
            done
        fi
        # empty parents; those of others stay
        (cd "$tree/$CGROUP" && rmdir -p "$(dirname "$1")" 2>/dev/null) || true
        rmdir "$tree/$CGROUP" 2>/dev/null || true
    done < <(cgroup_trees)
}

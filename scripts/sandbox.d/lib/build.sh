# shellcheck shell=bash
# Builds what nodes are made of into the cache. Sourced by scripts/sandbox.
#
# Every product's name ends in a digest of its recipe (files, versions, tool chain): a changed recipe
# makes a new product beside the old one, an unchanged one is found. Products are made under another
# name and renamed, so a killed build leaves nothing that looks finished.

K8S_VERSION=v1.34.4
HELM3_VERSION=v3.22.0
HELM4_VERSION=v4.1.4
BUSYBOX_IMAGE=docker.io/rancher/mirrored-library-busybox:1.36.1
PAUSE_IMAGE=docker.io/rancher/mirrored-pause:3.6
COREDNS_IMAGE=docker.io/rancher/mirrored-coredns-coredns:1.12.4
LOCAL_PATH_IMAGE=docker.io/rancher/local-path-provisioner:v0.0.30
POSTGRES_IMAGE=docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4
EXPORTER_IMAGE=docker.io/bitnamilegacy/postgres-exporter:0.17.1-debian-12-r16

BASE_PACKAGES=systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,containerd,runc,containernetworking-plugins,iptables,ipset,conntrack,iproute2,procps,python3,python3-yaml,etcd-server,ca-certificates,kmod,ethtool,socat,openssl,busybox
POSTGRES_PACKAGES=postgresql-17,prometheus-postgres-exporter
# Constant on purpose: the account exists to exercise sudo's password prompt on a throw-away node.
# shellcheck disable=SC2034 # used by scripts/sandbox
ADMIN_PASSWORD=sandbox-admin

# digest TEXT... : 12 hex digits of the arguments' sha256.
digest() { printf '%s\0' "$@" | sha256sum | cut -c1-12; }

# digest_of PATH... : 12 hex digits of files and folders: names, contents, whether they run, link targets.
# Not the whole mode: it depends on the umask of the checkout.
digest_of() {
    local p
    for p in "$@"; do
        (cd "$(dirname "$p")" && find "$(basename "$p")" \
            \( -type f -perm /111 -printf '%p runs\n' \) , \( -type f -exec sha256sum {} + \) , \( -type l -printf '%p %l\n' \) |
            LC_ALL=C sort)
    done | sha256sum | cut -c1-12
}

find_go() {
    command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
    command -v go >/dev/null 2>&1 || die 'Go is missing' 'install Go 1.26 or newer (https://go.dev/dl) and put it on the PATH'
}

# program NAME: path of a Go program in the cache, built when it is not there.
#   The answer is in $REPLY.
program() {
    local name=$1 module=$1 package=. flags='-s -w' key target
    local v=k8s.io/component-base/version
    case $name in
    kube | kubectl)
        module=kube
        [ "$name" = kube ] || package=k8s.io/kubernetes/cmd/kubectl
        flags+=" -X $v.gitVersion=$K8S_VERSION+k3s1 -X $v.gitMajor=1 -X $v.gitMinor=34 -X $v.gitTreeState=clean"
        ;;
    local-path) package=github.com/rancher/local-path-provisioner ;;
    helm3)
        package=helm.sh/helm/v3/cmd/helm
        flags+=" -X helm.sh/helm/v3/internal/version.version=$HELM3_VERSION"
        ;;
    helm4)
        package=helm.sh/helm/v4/cmd/helm
        flags+=" -X helm.sh/helm/v4/internal/version.version=$HELM4_VERSION"
        ;;
    registry) package=github.com/distribution/distribution/v3/cmd/registry ;;
    toxiproxy) package=github.com/Shopify/toxiproxy/v2/cmd/server ;;
    pause | netpol | coredns) ;;
    *) die "no program named $name" 'pause kube kubectl netpol local-path coredns helm3 helm4 registry toxiproxy' ;;
    esac
    key=$(digest "$(digest_of "$HERE/go/$module")" "$package" "$flags" "$GO_VERSION")
    target=$CACHE/programs/$name-$key
    REPLY=$target
    [ ! -x "$target" ] || return 0
    local start=$EPOCHREALTIME log=$CACHE/log/go-$name.log
    say "building $name"
    if ! (cd "$HERE/go/$module" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off go build -mod=readonly -buildvcs=false -trimpath \
        -ldflags "$flags" -o "$target.new" "$package") >"$log" 2>&1; then
        tail -20 "$log" >&2
        die "building $name failed" "the whole output is in $log"
    fi
    mv "$target.new" "$target"
    say "  $name: $(seconds_since "$start") s"
}

# debian SUITE VARIANT PACKAGES FOLDER: a tree of Debian packages, without documents and languages.
debian() {
    mmdebstrap -q --variant="$2" --include="$3" --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$1" "$4" >"$CACHE/log/debian-$1.log" 2>&1 || {
        tail -20 "$CACHE/log/debian-$1.log" >&2
        die "mmdebstrap of Debian $1 failed" "the whole output is in $CACHE/log/debian-$1.log"
    }
    rm -rf "$4"/var/cache/apt/* "$4"/var/lib/apt/lists/*
}

build_base() {
    BASE=$CACHE/base-$(digest "$(declare -f build_base debian)" "$BASE_PACKAGES" "$ADMIN_PASSWORD")
    [ ! -d "$BASE" ] || return 0
    local start=$EPOCHREALTIME new=$BASE.new
    say 'making the node root (Debian bookworm)'
    debian bookworm minbase "$BASE_PACKAGES" "$new"
    rm -f "$new"/etc/ssh/ssh_host_* "$new/etc/machine-id" "$new/var/lib/dbus/machine-id" "$new/etc/hostname"
    local user unit
    for user in ops admin nosudo; do
        chroot "$new" useradd --create-home --shell /bin/bash "$user"
    done
    # admin's password, and none for the others: * lets keys in and no password
    chroot "$new" chpasswd <<<"admin:$ADMIN_PASSWORD"
    chroot "$new" usermod -p '*' root
    for user in ops nosudo; do chroot "$new" usermod -p '*' "$user"; done
    # containerd and etcd are started by the stand-in; sysctl belongs to the machine around the node
    for unit in containerd etcd systemd-sysctl console-getty getty.target systemd-networkd-wait-online \
        sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount dev-mqueue.mount dev-hugepages.mount \
        apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap; do
        case $unit in *.*) ;; *) unit=$unit.service ;; esac
        ln -sf /dev/null "$new/etc/systemd/system/$unit"
    done
    mkdir -p "$new"/etc/rancher "$new"/var/lib/rancher "$new"/var/lib/kubelet "$new"/var/log/journal
    rmdir "$new/etc/rancher"
    mv "$new" "$BASE"
    say "  node root: $(seconds_since "$start") s"
}

# with_libraries TREE PROGRAM FOLDER: copies a program of a tree and the libraries it names.
with_libraries() {
    local file
    while read -r file; do
        mkdir -p "$3$(dirname "$file")"
        cp -L "$1$file" "$3$file"
    done < <(echo "$2" && chroot "$1" ldd "$2" | grep -o '/[^ ]*')
}

build_postgres() {
    POSTGRES=$CACHE/postgres-$(digest "$(declare -f build_postgres debian with_libraries)" "$POSTGRES_PACKAGES")
    [ ! -d "$POSTGRES" ] || return 0
    local start=$EPOCHREALTIME new=$POSTGRES.new
    say 'making the PostgreSQL root (Debian trixie)'
    debian trixie apt "$POSTGRES_PACKAGES" "$new"
    # the exporter becomes an image of its own: the program and the libraries it names
    with_libraries "$new" /usr/bin/prometheus-postgres-exporter "$new.exporter"
    # just-in-time compilation and Perl are half of the size and never used
    rm -rf "$new"/usr/lib/*/libLLVM* "$new"/usr/lib/*/libz3* "$new"/usr/lib/postgresql/17/lib/{bitcode,llvmjit*} \
        "$new"/usr/{lib/*,share}/perl* "$new"/usr/share/{doc,man,locale,zoneinfo-icu} "$new"/usr/lib/*/gconv \
        "$new"/usr/bin/prometheus-postgres-exporter "$new"/var/cache/* "$new"/var/lib/dpkg "${new:?}"/{dev,proc,sys}
    mv "$new.exporter" "$POSTGRES.exporter"
    mv "$new" "$POSTGRES"
    say "  PostgreSQL root: $(seconds_since "$start") s"
}

# image NAME FOLDER CONFIG
image() {
    local file=${1##*/}
    python3 "$HERE/images/mkimage" "$1" "$work/out/${file//:/_}.tar" "$2" "$3"
}

build_images() {
    local lpp coredns pause work start=$EPOCHREALTIME
    program pause && pause=$REPLY
    program local-path && lpp=$REPLY
    program coredns && coredns=$REPLY
    build_base
    build_postgres
    IMAGES=$CACHE/images-$(digest "$(declare -f build_images image with_libraries)" "$(digest_of "$HERE/images")" \
        "$BASE" "$POSTGRES" "$lpp" "$coredns" "$pause" \
        $BUSYBOX_IMAGE $PAUSE_IMAGE $COREDNS_IMAGE $LOCAL_PATH_IMAGE $POSTGRES_IMAGE $EXPORTER_IMAGE)
    [ ! -d "$IMAGES" ] || return 0
    say 'making the container images'
    work=$IMAGES.new
    mkdir -p "$work"/{out,pause,lpp/bin,coredns,busybox/{bin,tmp,etc,root},exporter/opt/bitnami/postgres-exporter/bin,exporter/tmp}
    chmod 1777 "$work"/busybox/tmp "$work"/exporter/tmp
    ln "$pause" "$work/pause/pause"
    ln "$lpp" "$work/lpp/bin/local-path-provisioner"
    ln "$coredns" "$work/coredns/coredns"
    # not the static one: glibc looks names up through libraries, of its own version only
    with_libraries "$BASE" /bin/busybox "$work/busybox"
    chroot "$work/busybox" /bin/busybox --install -s /bin
    echo 'root:x:0:0:root:/root:/bin/sh' >"$work/busybox/etc/passwd"
    image $PAUSE_IMAGE "$work/pause" '{"Entrypoint":["/pause"]}'
    image $LOCAL_PATH_IMAGE "$work/lpp" '{"Entrypoint":["/bin/local-path-provisioner"],"Env":["PATH=/bin"]}'
    image $COREDNS_IMAGE "$work/coredns" '{"Entrypoint":["/coredns"]}'
    image $BUSYBOX_IMAGE "$work/busybox" '{"Cmd":["sh"],"Env":["PATH=/bin"]}'

    cp -a "$POSTGRES.exporter/." "$work/exporter/"
    mv "$work/exporter/usr/bin/prometheus-postgres-exporter" "$work/exporter/opt/bitnami/postgres-exporter/bin/postgres_exporter"
    image $EXPORTER_IMAGE "$work/exporter" '{"User":"1001","WorkingDir":"/opt/bitnami/postgres-exporter","Entrypoint":["/opt/bitnami/postgres-exporter/bin/postgres_exporter"],"Env":["PATH=/opt/bitnami/postgres-exporter/bin:/bin"],"ExposedPorts":{"9187/tcp":{}}}'

    cp -al "$POSTGRES" "$work/postgres"
    local pg=$work/postgres
    cp --remove-destination "$POSTGRES/etc/passwd" "$pg/etc/passwd"
    echo 'pg:x:1001:0::/tmp:/bin/sh' >>"$pg/etc/passwd" # initdb wants a name for its user
    mkdir -p "$pg"/opt/bitnami/scripts/postgresql "$pg"/opt/bitnami/postgresql/{tmp,conf,secrets} "$pg"/bitnami/postgresql "$pg"/docker-entrypoint-initdb.d "$pg"/{dev,proc,sys}
    install -m755 "$HERE/images/postgres-entrypoint" "$pg/opt/bitnami/scripts/postgresql/entrypoint.sh"
    install -m755 "$HERE/images/postgres-run.sh" "$pg/opt/bitnami/scripts/postgresql/run.sh"
    ln -s /usr/lib/postgresql/17/bin "$pg/opt/bitnami/postgresql/bin"
    chmod -R g+rwX "$pg"/opt/bitnami/postgresql "$pg"/bitnami
    image $POSTGRES_IMAGE "$pg" '{"User":"1001","WorkingDir":"/","Entrypoint":["/opt/bitnami/scripts/postgresql/entrypoint.sh"],"Cmd":["/opt/bitnami/scripts/postgresql/run.sh"],"Env":["PATH=/opt/bitnami/postgresql/bin:/usr/sbin:/usr/bin:/sbin:/bin","LANG=C.UTF-8"],"ExposedPorts":{"5432/tcp":{}}}'
    mv "$work/out" "$IMAGES"
    rm -rf "$work"
    say "  images: $(seconds_since "$start") s"
}

# The layers over the base: what every node has, and what only a node with k3s has.
build_layers() {
    local kube kubectl netpol name
    program kube && kube=$REPLY
    program kubectl && kubectl=$REPLY
    program netpol && netpol=$REPLY
    build_base
    LAYERS=$CACHE/layers-$(digest "$(declare -f build_layers)" "$(digest_of "$HERE/node")" "$BASE" "$kube" "$kubectl" "$netpol")
    [ ! -d "$LAYERS" ] || return 0
    local new=$LAYERS.new l
    mkdir -p "$new"
    cp -r --preserve=links,mode --no-preserve=ownership "$HERE/node/." "$new/"
    chown -R root:root "$new"
    find "$new" -type d -exec chmod 755 {} +
    find "$new" -type f -exec chmod go-w,a+r {} +
    chmod 440 "$new"/os/etc/sudoers.d/*
    l=$new/k3s/usr/local/lib/sandbox
    # programs of the same file system are linked, not copied
    cp -l "$kube" "$l/kube" 2>/dev/null || cp "$kube" "$l/kube"
    cp -l "$kubectl" "$l/kubectl" 2>/dev/null || cp "$kubectl" "$l/kubectl"
    cp -l "$netpol" "$l/netpol" 2>/dev/null || cp "$netpol" "$l/netpol"
    for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do ln -s kube "$l/$name"; done
    echo $PAUSE_IMAGE >"$l/pause-image"
    printf 'k3s version %s+k3s1 (sandbox)\ngo version %s\n' "$K8S_VERSION" "${GO_VERSION%% *}" >"$l/version"
    mv "$new" "$LAYERS"
}

# The golden copy: /var/lib/rancher as it is on a node that has just been installed, made once by a
# control plane without a node. A node's own copy of it costs links, not an import of images.
build_golden() {
    local trees=() p
    # Debian's packages come over the network and the disk while Go keeps the processors
    (build_base) &
    trees+=($!)
    (build_postgres) &
    trees+=($!)
    for p in pause kube kubectl netpol local-path coredns; do program $p; done
    for p in "${trees[@]}"; do wait "$p" || exit 1; done
    build_images
    build_layers
    GOLDEN=$CACHE/golden-$(digest "$(declare -f build_golden)" "$(digest_of "$HERE/golden")" "$IMAGES" "$LAYERS")
    [ ! -d "$GOLDEN" ] || return 0
    local new=$GOLDEN.new start=$EPOCHREALTIME log=$CACHE/log/golden.log group
    say 'preparing the golden copy of /var/lib/rancher'
    rm -rf "$new"
    mkdir -p "$new"/{rancher,upper,work,root,kubelet}
    group=build-$(digest "$CACHE")/golden
    cgroup_clear "$group"
    cgroup_enter_command "$group"
    if ! bash -c "$REPLY"' exec unshare --mount --net --propagation private "$@"' - \
        bash "$HERE/golden" "$new" "$LAYERS/k3s:$LAYERS/os:$BASE" "$IMAGES" >"$log" 2>&1 </dev/null; then
        cgroup_clear "$group"
        tail -20 "$log" >&2
        die 'preparing the golden copy failed' "the whole output is in $log"
    fi
    cgroup_clear "$group"
    mv "$new/rancher" "$GOLDEN.ready"
    rm -rf "$new"
    mv "$GOLDEN.ready" "$GOLDEN"
    say "  golden copy: $(seconds_since "$start") s"
}

# helm_archive 3|4: an archive laid out as upstream's; path in $REPLY.
helm_archive() {
    local version=$HELM4_VERSION program
    [ "$1" = 4 ] || version=$HELM3_VERSION
    program "helm$1" && program=$REPLY
    local folder=$CACHE/artifacts/helm-${program##*-}
    REPLY=$folder/helm-$version-linux-amd64.tar.gz
    [ ! -f "$REPLY" ] || return 0
    local work=$folder.new
    rm -rf "$work"
    mkdir -p "$work/linux-amd64" "$folder"
    cp "$program" "$work/linux-amd64/helm"
    tar -C "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - linux-amd64 | gzip -n -6 >"$work/archive"
    mv "$work/archive" "$REPLY"
    (cd "$folder" && sha256sum "${REPLY##*/}" >"${REPLY##*/}.sha256sum")
    rm -rf "$work"
}

# build_all: everything a node needs, one build at a time on this machine.
build_all() {
    mkdir -p "$CACHE"/{programs,artifacts,log,instances}
    find_go
    GO_VERSION=$(go env GOVERSION)
    exec 8>"$CACHE/build.lock"
    if ! flock -n 8; then
        say 'another build is running; waiting for it'
        flock 8
    fi
    rm -rf --one-file-system "$CACHE"/*.new "$CACHE"/*.new.exporter "$CACHE"/*.ready "$CACHE"/artifacts/*.new
    if [ $# -gt 0 ]; then "$@"; else build_golden; fi
    local answer=$REPLY
    exec 8>&-
    REPLY=$answer
}

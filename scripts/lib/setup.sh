# shellcheck shell=bash
# Sets up what a build needs and this machine lacks. Sourced after common.sh.

# find_rust: cargo with the tool chain that rust-toolchain.toml names, rustfmt and clippy included.
find_rust() {
    command -v cargo >/dev/null 2>&1 || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null 2>&1 || die 'Rust is missing' 'install it from https://rustup.rs and run this again'
    local want have
    want=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
    have=$(cd "$ROOT" && rustc --version 2>/dev/null | cut -d' ' -f2) || true
    if [ "$have" != "$want" ] || ! (cd "$ROOT" && cargo fmt --version && cargo clippy --version) >/dev/null 2>&1; then
        if command -v rustup >/dev/null 2>&1; then
            say "setting up Rust $want"
            (cd "$ROOT" && rustup toolchain install "$want" --profile minimal --component rustfmt --component clippy >&2) ||
                die "rustup could not set up Rust $want" 'run it by hand to see why'
        elif [ "$have" != "$want" ]; then
            die "this is Rust ${have:-?}, $want is wanted" 'install rustup (https://rustup.rs), or that version'
        else
            die 'rustfmt or clippy is missing' 'install rustup (https://rustup.rs), or these two'
        fi
    fi
    # ring has parts in C
    need cc=gcc
}

# find_go: Go for the sandbox' programs.
find_go() {
    command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
    # An older Go fetches the one that go.mod names by itself.
    need go=golang-go
}

# binary PROFILE: builds monopg; its path in $REPLY.
binary() {
    local args=()
    [ "$1" != release ] || args=(--release)
    (cd "$ROOT" && cargo build --locked --bin monopg ${args[@]+"${args[@]}"}) >&2 || die 'monopg does not build'
    REPLY=${CARGO_TARGET_DIR:-$ROOT/target}/${1/dev/debug}/monopg
}

# helm_settings FILE: the settings of the Helm that the sandbox builds, into FILE.
# Its digest depends on the Go that built it, so it cannot stand in the committed inventory.
helm_settings() {
    local archive digest version
    archive=$("$ROOT/scripts/sandbox" artifact helm4) || die 'the sandbox has no Helm'
    digest=$(sha256sum "$archive")
    version=${archive##*/helm-v}
    cat >"$1" <<C
monopg_helm_source: $archive
monopg_helm_version: "${version%%-*}"
monopg_helm_sha256: ${digest%% *}
C
}

# pins FILE: the settings of that Helm and of the stand-in chart, into FILE.
pins() {
    local chart digest
    helm_settings "$1"
    read -r chart digest < <("$ROOT/scripts/lib/chart")
    cat >>"$1" <<C
monopg_chart: $chart
monopg_chart_version: "$(basename "${chart#*postgresql-}" .tgz)"
monopg_chart_sha256: $digest
C
}

# bench_settings FILE: a database as the benches have it, with a password of its own, into FILE.
bench_settings() {
    pins "$1"
    cat >>"$1" <<C
monopg_storage_path: /srv/k3s-storage
monopg_volume_size: 1Gi
monopg_image: {registry: docker.io, repository: bitnamilegacy/postgresql, tag: 17.6.0-debian-12-r4}
monopg_credentials: {postgres-password: $(head -c 18 /dev/urandom | base64)}
C
}

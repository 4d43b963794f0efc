# shellcheck shell=sh
# Finds the Rust toolchain and installs the system packages that the build needs.
#
# Sourced, from the root of the clone, by the other scripts; POSIX sh. Where every package is there
# already, it changes nothing and needs no root.

say() { printf '%s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Whether there is a libclang, which bindgen loads to read RocksDB's C header. (It is only looked
# for here: exporting LIBCLANG_PATH would make cargo build RocksDB again.)
find_libclang() {
    for dir in "${LIBCLANG_PATH:-}" /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib \
        /usr/local/lib; do
        for file in "$dir"/libclang.so* "$dir"/libclang-*.so*; do
            [ -z "$dir" ] || [ ! -e "$file" ] || return 0
        done
    done
    return 1
}

# Without the compiler's own headers (stddef.h), a bare libclang cannot read RocksDB's.
find_clang_headers() {
    for file in /usr/lib/llvm-*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
        /usr/lib64/clang/*/include/stddef.h; do
        [ -e "$file" ] && return 0
    done
    return 1
}

# The library by which a test lets a daemon's clock jump.
find_faketime() {
    for file in /usr/lib/*/faketime/libfaketimeMT.so.1; do
        [ -e "$file" ] && return 0
    done
    return 1
}

# Sets `missing` to the Debian or Ubuntu packages that have to be installed for the build, and,
# with the argument "tests", for the tests.
find_missing() {
    missing=
    if ! have cc || { ! have g++ && ! have clang++ && [ -z "${CXX:-}" ]; }; then
        missing="$missing g++"
    fi
    # For jemalloc's makefile.
    have make || missing="$missing make"
    if ! find_libclang || ! find_clang_headers; then
        # Two packages of the distribution's own LLVM release are enough; `libclang-dev`, which
        # always exists, brings several times as much.
        release=$(apt-cache depends libclang-dev 2>/dev/null |
            sed -n 's/^ *Depends: libclang-\([0-9]*\)-dev$/\1/p')
        if [ -n "$release" ]; then
            missing="$missing libclang1-$release libclang-common-$release-dev"
        else
            missing="$missing libclang-dev"
        fi
    fi
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
        missing="$missing ca-certificates"
    if [ "${1:-}" = tests ]; then
        have strace || missing="$missing strace"
        # For the network namespaces in which the tests part a group. Not everybody has sbin in PATH.
        have ip || [ -x /sbin/ip ] || missing="$missing iproute2"
        have nft || [ -x /usr/sbin/nft ] || missing="$missing nftables"
        find_faketime || missing="$missing libfaketime"
    fi
}

install_packages() {
    find_missing "${1:-}"
    [ -n "$missing" ] || return 0
    have apt-get || die "these tools are missing:$missing (names of Debian packages)" \
        "install them with your system's package manager and run this again"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        have sudo || die "system packages are missing, and this user may not install them" \
            "run this as root once, and then this script again: apt-get install$missing"
        as_root=sudo
    fi
    say "Fetching the list of system packages"
    $as_root apt-get update -q >&2 ||
        say "The list could not be fetched; trying with the one that is there."
    # With the list there, the name of the libclang package can be told.
    find_missing "${1:-}"
    say "Installing system packages:$missing"
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        $missing >&2 ||
        die "the packages could not be installed:$missing" \
            "look at the message above, install them by hand and run this again"
}

find_cargo() {
    if ! have cargo && [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
        export PATH
    fi
    if ! have cargo || ! have rustc; then
        die "no Rust toolchain was found (cargo and rustc)" \
            "Lockstep needs Rust $rust_wanted or newer: see https://rustup.rs"
    fi
    rust_found=$(rustc --version | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$rust_found" ] || die "rustc does not tell its version" "run: rustc --version"
    if [ "${rust_found%.*}" -lt "${rust_wanted%.*}" ] || {
        [ "${rust_found%.*}" -eq "${rust_wanted%.*}" ] &&
            [ "${rust_found#*.}" -lt "${rust_wanted#*.}" ]
    }; then
        die "this is Rust $rust_found, Lockstep needs $rust_wanted or newer" \
            "with rustup: rustup update stable"
    fi
}

# The compilers for RocksDB, which is C++ and most of the build's time.
choose_compilers() {
    if have ccache; then
        CC=${CC:-ccache cc}
        if have g++; then CXX=${CXX:-ccache g++}; else CXX=${CXX:-ccache clang++}; fi
        export CC CXX
    elif ! have g++ && have clang++; then
        CXX=${CXX:-clang++}
        export CXX
    fi
}

# Says what will take long, if RocksDB has not been built here yet.
warn_of_long_build() {
    for dir in "${CARGO_TARGET_DIR:-target}"/release/build/librocksdb-sys-*/out/librocksdb.a; do
        [ -e "$dir" ] && return 0
    done
    say ""
    say "The first build compiles RocksDB, the embedded database, from source: 10 to 25 minutes on"
    say "two cores, most of it without a new line of output. Later builds reuse it."
    say ""
}

setup() {
    rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    find_cargo
    install_packages "${1:-}"
    choose_compilers
}

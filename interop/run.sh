#!/bin/sh
# The official programs against Lockstep, and Lockstep against them. Needs Go; the first run builds
# tailscale and tailscaled from their published module, which takes some minutes.
#
#   sh interop/run.sh [ARGUMENTS OF go test]
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup
have go || die "the interoperation tests need Go (1.26 or newer)" "see https://go.dev/dl"
cargo build --locked --release -p cli
LOCKSTEP=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/lockstep
export LOCKSTEP
cd interop
exec go test -count=1 "$@" ./...

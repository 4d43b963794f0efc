#!/bin/sh
# Sets the machine up where needed and runs every test of the workspace.
#
#   sh scripts/test.sh [ARGUMENTS OF cargo test]
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup tests
warn_of_long_build
say "Running all tests (one optimized profile for the program and its tests)"
exec cargo test --locked --release --workspace "$@"

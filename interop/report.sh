#!/bin/sh
# The HTML reports in headless Chromium: no requests, no complaints, links that resolve, foreign text
# that stays text, a PDF. Needs Go and Chromium (Debian: apt-get install chromium).
#
#   sh interop/report.sh [ARGUMENTS OF go test]
#
# REPORT_PDF_DIR=DIR keeps the PDFs.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup
have go || die "the report tests need Go (1.26 or newer)" "see https://go.dev/dl"
have chromium || die "the report tests need Chromium" "such as: apt-get install chromium"
cargo build --locked --release -p cli
cargo build --locked --release -p audit --example hostile
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export LOCKSTEP="$target/release/lockstep" HOSTILE="$target/release/examples/hostile"
CHROMIUM=$(command -v chromium)
export CHROMIUM
cd interop
exec go test -count=1 -tags chromium "$@" ./report

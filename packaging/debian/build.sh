#!/bin/sh
# Makes lockstep_VERSION_ARCH.deb from a program that is built already. No network, no root.
#
#   sh packaging/debian/build.sh [PROGRAM [DIRECTORY]]
#
# PROGRAM: the lockstep to put in (default: target/release/lockstep). DIRECTORY: where the package
# goes (default: the working directory). With SOURCE_DATE_EPOCH the same input makes the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=${1:-${CARGO_TARGET_DIR:-$root/target}/release/lockstep}
out=${2:-.}

if ! command -v dpkg-deb >/dev/null 2>&1; then
    echo 'error: dpkg-deb is missing' >&2
    echo '  on a system other than Debian, use the program as it is' >&2
    exit 1
fi
if ! [ -x "$program" ]; then
    echo "error: there is no program at $program" >&2
    echo '  build it first: cargo build --release --locked -p cli' >&2
    exit 1
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
version=$("$program" --version | sed 's/^lockstep //')
arch=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
umask 022
chmod 755 "$tree"

install -D -m 755 "$program" "$tree/usr/bin/lockstep"
strip --strip-unneeded "$tree/usr/bin/lockstep" 2>/dev/null || :
install -D -m 644 "$root/packaging/systemd/lockstep.service" \
    "$tree/usr/lib/systemd/system/lockstep.service"
install -D -m 644 "$root/packaging/lockstep.toml" "$tree/etc/lockstep/lockstep.toml"

"$program" man "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1
share=$tree/usr/share
mkdir -p "$share/bash-completion/completions" "$share/zsh/vendor-completions" \
    "$share/fish/vendor_completions.d"
"$program" completions bash >"$share/bash-completion/completions/lockstep"
"$program" completions zsh >"$share/zsh/vendor-completions/_lockstep"
"$program" completions fish >"$share/fish/vendor_completions.d/lockstep.fish"

doc=$share/doc/lockstep
mkdir -p "$doc"
cp "$root/README.md" "$root/SECURITY.md" "$root/ARCHITECTURE.md" "$doc/"
cp -R "$root/docs" "$doc/docs"
find "$doc" -type f -exec chmod 644 {} +
gzip -9nc "$root/CHANGELOG.md" >"$doc/changelog.gz"
cp "$here/copyright" "$doc/copyright"

# The C library must be as new as the newest symbol that the program wants of it.
glibc=$(LC_ALL=C grep -ao 'GLIBC_2\.[0-9]*' "$program" | sort -Vu | tail -n 1 | sed 's/GLIBC_//')
mkdir "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@GLIBC@/$glibc/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$tree" | cut -f1)/" "$here/control" >"$tree/DEBIAN/control"
echo /etc/lockstep/lockstep.toml >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$tree/DEBIAN/$script"; done
(cd "$tree" && find usr etc -type f | LC_ALL=C sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
chmod 644 "$tree/DEBIAN/control" "$tree/DEBIAN/conffiles" "$tree/DEBIAN/md5sums"

find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$tree" "$out/lockstep_${version}_$arch.deb"

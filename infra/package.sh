#!/bin/sh
# The zips that Lambda takes, for both processors: target/package/ARCHITECTURE/FUNCTION.zip. `package.sh NAME...` builds those functions alone,
# `ARCHITECTURES=arm64` one processor.
#
# The same commit gives the same bytes, wherever it is built with the same toolchain: paths of this machine are mapped away here, and package.py
# writes zips without a time in them. Each function is built by itself: in one build Cargo would give all of them the features that any one needs.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${RELIGHT_VENV:-$root/target/venv}
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
[ -x "$venv/bin/cargo-lambda" ] || { echo "package: cargo-lambda is not installed; run make tools" >&2; exit 1; }
cd "$root"
[ $# -gt 0 ] || set -- $(ls functions)

# cargo-lambda finds its linker, zig, by this Python.
export PATH="$venv/bin:$PATH"

separator=$(printf '\037')
flags="-Cforce-unwind-tables=no"
# Where two fit a path the later one holds, so that it makes no difference whether target/ lies in this folder.
for path in "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$(rustc --print sysroot)=/rust" "$root=/relight" "$target=/target"; do
    flags="$flags$separator--remap-path-prefix=$path"
done
unset RUSTFLAGS

for architecture in ${ARCHITECTURES:-arm64 x86_64}; do
    # The least processor that Lambda promises. cargo-lambda would say so by itself, if no other flag were given.
    case $architecture in
    arm64) option=--arm64 cpu=neoverse-n1 ;;
    x86_64) option=--x86-64 cpu=haswell ;;
    *) echo "package: there is no architecture '$architecture'; say arm64 or x86_64" >&2; exit 1 ;;
    esac
    export CARGO_ENCODED_RUSTFLAGS="-Ctarget-cpu=$cpu$separator$flags"
    for function in "$@"; do
        echo "package: $function for $architecture" >&2
        cargo lambda build --quiet --release --locked $option --lambda-dir "$target/package/$architecture" --package "$function"
    done
done

for function in "$@"; do
    # A driver of a database is told from the tree, so that no list of functions has to be kept.
    limit=6000000
    ! cargo tree --quiet --locked --package "$function" --edges normal --prefix none | grep '^tokio-postgres ' >/dev/null || limit=9000000
    for architecture in ${ARCHITECTURES:-arm64 x86_64}; do
        echo "$limit $architecture $function"
    done
done | "$venv/bin/python" infra/package.py "$target/package"

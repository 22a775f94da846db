#!/usr/bin/env bash
# ./run.sh [command] key=value ...       run a command of the pipeline; the default command is train
# ./run.sh test [pytest arguments]       run the quick tests (about 7 minutes)
# ./run.sh test all [pytest arguments]   run all tests (about 30 minutes): also damaged files, kills, full sizes, browser
# The first start installs the packages into .venv. OKKHOR_PYTHON=/path/to/python uses a Python that has them already.
# A relative path that you type starts in the folder you are in; one in a preset or a default, in the folder of this
# file. config.yaml keeps a path relative to this folder where it is within, else absolute. `~` is your home.
if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi # sh run.sh, where sh is another shell
set +o posix -euo pipefail # posix: where sh is bash

say() { printf '%s\n' "$@" >&2; }
fail() { say "$@"; exit 2; }

# Prints the name of a Python that the packages in requirements.lock are built for.
find_python() {
    local python answer problem="None was found."
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        # Debian's venv is there without ensurepip and then fails.
        answer=$("$python" -c 'import sys, importlib.util as u; v = sys.version_info
print("%d.%d" % v[:2], "" if not (3, 11) <= v < (3, 15) else "fits" if u.find_spec("ensurepip") else "no-venv")' \
            2>/dev/null) || continue
        case $answer in
            *fits) printf '%s\n' "$python"; return ;;
            *no-venv) problem="$python lacks its venv module: sudo apt install python${answer% *}-venv, or likewise." ;;
            *) problem="$python is ${answer% }." ;;
        esac
    done
    fail "Okkhor needs Python 3.11, 3.12, 3.13 or 3.14. $problem" \
        "Install one, or set OKKHOR_PYTHON to a Python that already has the packages of requirements.lock."
}

# .venv is whole if .venv/installed names its place and the requirements. It can't be moved, and belongs to one Python.
place() { local version && version=$(.venv/bin/python -V 2>/dev/null) && printf '%s\n' "${version%.*} $PWD"; }
requirements() { cat requirements.lock pyproject.toml | cksum; }
is_ready() { [[ -f .venv/installed && $(place; requirements) == "$(<.venv/installed)" ]]; }

# A person's settings of pip may name an index or a proxy, but no other place, and no requirement beside the lock's.
pip_install() {
    env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_PYTHON -u PIP_CONSTRAINT -u PIP_REQUIREMENT -u PIP_REQUIRE_HASHES \
        -u PYTHONHOME PIP_USER=0 PIP_DRY_RUN=0 .venv/bin/python -m pip install --no-input "$@" >>.venv/install.log 2>&1 && return
    tail -n 3 .venv/install.log >&2
    fail "The packages could not be installed; pip's whole report is $PWD/.venv/install.log" \
        "See that the network works and that 6 GB of disk are free, then start again."
}

set_up() {
    if command -v flock >/dev/null && ! flock -n 9; then
        say "Waiting for another ./run.sh, which is installing the packages"
        flock 9 || true  # a file system without locks
    fi
    if is_ready; then return; fi  # the other one has done it
    trap 'say "Interrupted; the next start will install the packages"; exit 130' INT
    local python problem goal
    goal=$(requirements)
    if [[ -f .venv/installed && $(place) == "$(head -n 1 .venv/installed)" ]]; then
        say "Bringing the packages in .venv up to date"
        rm .venv/installed  # from here on .venv counts as broken, until all is done
    else
        python=$(find_python)
        rm -f .venv/installed
        say "Installing the packages into .venv, once: about 3 minutes, 6 GB"
        problem=$("$python" -m venv --clear .venv 2>&1) || fail "$python can't make $PWD/.venv: ${problem##*$'\n'}"
    fi
    pip_install --no-deps -r requirements.lock  # it names all of them
    pip_install --no-deps --no-build-isolation --editable .
    printf '%s\n' "$(place)" "$goal" >.venv/installed
}

python=.venv/bin/python
if [[ -n ${OKKHOR_PYTHON:-} ]]; then
    python=$(type -P "$OKKHOR_PYTHON") || fail "OKKHOR_PYTHON=$OKKHOR_PYTHON: there is no such program"
    [[ $python == /* ]] || python=$PWD/$python
fi
caller=$PWD
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"
if [[ -n ${OKKHOR_PYTHON:-} ]]; then
    source=$PWD/src
    [[ $PWD != *:* ]] || source=src  # a colon parts the folders of PYTHONPATH; python makes src absolute
    export PYTHONPATH=$source${PYTHONPATH:+:$PYTHONPATH}
elif ! is_ready; then
    [[ -w . && -w requirements.lock ]] || fail "You may not write to $PWD: copy the project to a folder of your own"
    set_up 9<>requirements.lock  # the file is also the lock against a second set-up
fi

export PYTHONUTF8=1 # our files, people's paths and our output are UTF-8, whatever the locale is

# glibc gives large blocks back to the system at each free: a step of ResNet-34 on two cores then faults 85 MB of
# gradients in again. Kept, the step is 1.2 times as fast (EXPERIMENTS.md).
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-1073741824} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-4294967296}

if [[ ${1:-} == test ]]; then
    if [[ ${2:-} == all ]]; then
        set -- test -m "" "${@:3}"  # pyproject.toml leaves the tests marked `slow` out
    fi
    exec "$python" -m pytest "${@:2}"
fi
OKKHOR_CALLER=$caller exec "$python" -m okkhor "$@"

#!/usr/bin/env bash
# Build .venv with the versions of constraints.txt.
#
#   scripts/setup.sh         nothing to do when nothing has changed; may be interrupted and run again
#   scripts/setup.sh find    only print the Python that would be used
#
# PYTHON=/path/to/python decides for one Python.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."

names=(python3.13 python3.12 python3 python python3.14 python3.15)
stamp=.venv/setup-finished
unfinished=.venv/setup-unfinished
tried=()
python=

# Runs under any Python, also an old one. Says "fits", or what is wrong.
probe='
import sys
version = "Python %d.%d" % sys.version_info[:2]
if sys.version_info[:2] < (3, 12):
    answer = "is " + version + ", too old"
elif sys.version_info[:2] > (3, 13):
    answer = "is " + version + ", which TensorFlow 2.21 has no build for"
else:
    answer = "fits"
    if "need-venv" in sys.argv:
        try:
            import ensurepip, venv
        except ImportError:
            answer = "is " + version + ", but its modules venv and ensurepip are missing"
print(answer)
'

have_uv() { command -v uv >/dev/null 2>&1; }

# Whether the Python at $1 fits; keeps its answer in `tried` if it does not. A shim may exist and still fail, so run it.
fits() {
    local answer need=need-venv status=0
    if have_uv; then need=; fi
    answer=$("$1" -c "$probe" $need 2>&1 </dev/null) || status=$?
    if [[ $status -eq 0 && $answer == fits ]]; then return 0; fi
    answer=${answer%%$'\n'*}
    if [[ $status -ne 0 ]]; then answer="fails when run (exit $status): ${answer:-no message}"; fi
    tried+=("$1: $answer")
    return 1
}

# Set `python` to the first Python on the PATH that fits, every match of every name being tried.
find_python() {
    local name folder known candidate
    local folders=() path=()
    if [[ -n ${PYTHON:-} ]]; then
        candidate=$(command -v "$PYTHON") || { tried+=("PYTHON=$PYTHON: not found"); return 1; }
        if fits "$candidate"; then python=$candidate; return 0; else return 1; fi
    fi
    IFS=: read -r -a path <<<"$PATH"
    for folder in "${path[@]}"; do
        # Not the environment that is about to be built, and no folder twice (/bin is often /usr/bin).
        if [[ ! -d $folder || $folder -ef .venv/bin ]]; then continue; fi
        for known in ${folders[@]+"${folders[@]}"}; do
            if [[ $folder -ef $known ]]; then continue 2; fi
        done
        folders+=("$folder")
    done
    for name in "${names[@]}"; do
        for folder in ${folders[@]+"${folders[@]}"}; do
            candidate=$folder/$name
            if [[ -f $candidate && -x $candidate ]] && fits "$candidate"; then python=$candidate; return 0; fi
        done
    done
    return 1
}

explain() {
    echo "bayesinn needs Python 3.12 or 3.13, and none that works was found."
    if [[ ${#tried[@]} -eq 0 ]]; then
        echo "Looked along the PATH for: ${names[*]}. There is none of them."
    else
        echo "Tried:"
        printf '  %s\n' "${tried[@]}"
    fi
    echo "Do one of these, then run the same command again:"
    echo "  Debian, Ubuntu:  apt install python3.13 python3.13-venv   (or python3.12 python3.12-venv)"
    echo "  Fedora:          dnf install python3.13"
    echo "  macOS:           brew install python@3.13"
    echo "  anywhere:        install uv, which brings a Python of its own"
    echo "  or name one:     make setup PYTHON=/path/to/python3.13"
} >&2

make_environment() {
    if ! find_python && ! have_uv; then explain; exit 1; fi
    rm -rf .venv
    mkdir .venv
    touch "$unfinished"
    if have_uv; then
        echo "Building .venv with uv and ${python:-a Python that uv finds or downloads}"
        if uv venv --quiet --allow-existing --python "${python:->=3.12,<3.14}" .venv; then return; fi
        if [[ -z $python ]]; then explain; exit 1; fi
        echo "uv failed; going on with venv"
    else
        echo "Building .venv with $python"
    fi
    "$python" -m venv .venv
}

install_packages() {
    local quiet=--quiet
    if [[ -t 1 ]]; then quiet=; fi
    echo "Installing the packages of constraints.txt (the first time some 700 MB are downloaded: minutes)"
    if have_uv; then
        if uv pip install $quiet --python .venv/bin/python --constraint constraints.txt --editable '.[docs,test]'; then return; fi
        echo "uv failed; going on with pip"
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then .venv/bin/python -m ensurepip >/dev/null; fi
    .venv/bin/python -m pip install $quiet --no-input --disable-pip-version-check \
        --constraint constraints.txt --editable '.[docs,test]' </dev/null
}

if [[ ${1:-} == find ]]; then
    if find_python; then echo "$python"; exit 0; else explain; exit 1; fi
fi

place=$PWD
fingerprint=$(cat setup.cfg constraints.txt bayesinn/_version.py scripts/setup.sh | cksum)
works() { .venv/bin/python -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

finished=
if [[ -f $stamp ]]; then finished=$(<"$stamp"); fi
if [[ $finished == "$place"$'\n'"$fingerprint" ]] && works; then exit 0; fi

# Start afresh after an interruption, a move to another folder, or the loss of the Python below; else bring up to date.
if [[ -e $unfinished || ( -n $finished && ${finished%%$'\n'*} != "$place" ) ]] || ! works; then
    make_environment
fi
touch "$unfinished"
rm -f "$stamp"
install_packages
rm "$unfinished"
printf '%s\n%s\n' "$place" "$fingerprint" >"$stamp"
echo "Ready: $(.venv/bin/python --version) in .venv"

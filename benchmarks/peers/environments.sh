#!/usr/bin/env bash
# Build an environment for each peer under .environments, beside this file.
#
#   benchmarks/peers/environments.sh [NAME ...]    all, or of bayesflow_jax, bayesflow_tensorflow, sbi
#
# What is finished is left alone. PYTHON=/path/to/python decides for one Python. On Linux the package index has torch
# with CUDA only (some 3 GB); TORCH_INDEX=URL names an index that has it without, which is just as fast on a CPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

python=${PYTHON:-$(command -v python3.13 || command -v python3)}
if [[ $# -eq 0 ]]; then set -- bayesflow_jax bayesflow_tensorflow sbi; fi
for name in "$@"; do
    case $name in
        bayesflow_jax) packages=("bayesflow==2.1.0" "keras==3.15.1" "jax==0.12.0.1") ;;
        bayesflow_tensorflow) packages=("bayesflow==2.1.0" "keras==3.15.1" "tensorflow==2.21.0") ;;
        sbi) packages=("sbi==0.27.0" "torch==2.15.0") ;;
        *) echo "expected bayesflow_jax, bayesflow_tensorflow or sbi, got $name" >&2; exit 2 ;;
    esac
    folder=.environments/$name
    if [[ $(cat "$folder/finished" 2>/dev/null) == "${packages[*]}" ]]; then continue; fi
    echo "Building $folder with $python: ${packages[*]}"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    index=()
    if [[ $name == sbi && -n ${TORCH_INDEX:-} ]]; then index=(--extra-index-url "$TORCH_INDEX"); fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check ${index[@]+"${index[@]}"} "${packages[@]}"
    echo "${packages[*]}" >"$folder/finished"
done

#!/usr/bin/env bash
# Runs once, when Gradescope builds the image: the packages of the autograder into an environment of its own.
# AUTOGRADER_ROOT and AUTOGRADER_PYTHON are for trying it elsewhere.
set -euo pipefail

root="${AUTOGRADER_ROOT:-/autograder}"
environment="$root/environment"

python=""
for candidate in "${AUTOGRADER_PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    echo "error: Python 3.11 or newer is needed. Choose a base image that has it (Ubuntu 24.04), and build again." >&2
    exit 1
fi

# Ubuntu may have Python without ensurepip; the pip outside then installs into the environment.
"$python" -m venv "$environment" >/dev/null 2>&1 || {
    "$python" -m venv --clear --without-pip "$environment"
    "$python" -m pip --python "$environment/bin/python" install --quiet pip
}
"$environment/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --requirement "$root/source/requirements.txt" --constraint "$root/source/constraints.txt"

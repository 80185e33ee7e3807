#!/bin/sh
# Builds an environment for each peer: benchmarks/peers/install.sh [FOLDER] (default .peers).
# Set PYTHON to choose an interpreter (3.11 is what they are known to run on).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-.peers}
python=${PYTHON:-python3.11}

environment() { # NAME: an environment that holds torch already, so that no other build is drawn in
    test -x "$folder/$1/bin/python" || "$python" -m venv "$folder/$1"
    "$folder/$1/bin/python" -m pip install --quiet "torch==2.13.0"
}

environment recbole
"$folder/recbole/bin/python" -m pip install --quiet -r "$here/requirements-recbole.txt"
"$folder/recbole/bin/python" -m pip install --quiet --no-deps "recbole==1.2.1"

environment rectools
"$folder/rectools/bin/python" -m pip install --quiet -r "$here/requirements-rectools.txt"

for peer in recbole rectools; do
    "$folder/$peer/bin/python" -c "import importlib.metadata as m
print('$peer', m.version('$peer'), 'torch', m.version('torch'), 'numpy', m.version('numpy'))"
done

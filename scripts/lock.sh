#!/bin/sh
# Regenerates the hashed locks in requirements/ from pyproject.toml. Only this needs uv; users need venv and pip alone.
# A lock names no index and no host: pip's own configuration says where wheels come from.
set -eu
cd "$(dirname "$0")/.."
UV=${UV:-uv}
command -v "$UV" >/dev/null 2>&1 || {
    echo "lock: uv is not installed; get it, or name it with UV=/path/to/uv" >&2
    exit 1
}
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT

compile() { # compile NAME ARGUMENT...: writes requirements/NAME.txt
    output=requirements/$1.txt
    shift
    "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-header --no-annotate --no-emit-index-url --output-file "$output" "$@"
    echo "lock: $output"
}

# dev is the whole set; runtime and build are cut from it, so that no package has two versions in one venv.
compile dev --group dev pyproject.toml
sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' requirements/dev.txt >"$pins"
compile runtime --constraint "$pins" pyproject.toml
compile build --constraint "$pins" --group build
compile witness --group witness
printf 'pyscard\n' | compile pcsc --constraint "$pins" -

# The jars that building the applet takes, plugins included: fetched into an empty place, so that the list is whole.
jars=$(mktemp -d)
mvn -q -B -Dmaven.repo.local="$jars" -f hardware/applet/pom.xml package
(cd "$jars" && find . -name '*.jar' | sed 's,^\./,,' | LC_ALL=C sort | xargs sha256sum) >requirements/maven.sha256
rm -rf "$jars"
echo "lock: requirements/maven.sha256"

#!/bin/sh
# Make the virtual environment APP_ROOT/APP_RELEASE from the wheels in APP_ROOT/.incoming-*, then
# point APP_ROOT/current to it. Whatever a run that was cut off has left is made anew.
set -eu
umask 022
# Settings of pip on the node must not lead it to an index.
PIP_CONFIG_FILE=/dev/null
# Not as an option, which the pip of Ubuntu 22.04 does not know.
PIP_ROOT_USER_ACTION=ignore
export PIP_CONFIG_FILE PIP_ROOT_USER_ACTION

release="$APP_ROOT/$APP_RELEASE"
incoming="$APP_ROOT/.incoming-$APP_RELEASE"
previous=$(readlink "$APP_ROOT/current" || true)
chmod 0755 "$APP_ROOT"
cd "$incoming"
printf '%s' "$APP_SHA256" | sha256sum --check --quiet --strict -
if [ -f dependencies.tar ]; then
    tar -xf dependencies.tar --no-same-owner
fi

rm -rf "$release"
"$APP_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || APP_PYTHON=/usr/bin/python3.11
# The system's pip installs from outside, if it is new enough; else the environment has one of its own.
if "$APP_PYTHON" -m pip --python "$APP_PYTHON" --version >/dev/null 2>&1; then
    "$APP_PYTHON" -m venv --without-pip "$release"
    pip() { "$APP_PYTHON" -m pip --python "$release/bin/python" "$@"; }
else
    "$APP_PYTHON" -m venv "$release"
    pip() { "$release/bin/python" -m pip "$@"; }
fi
pip install --quiet --no-input --no-cache-dir --disable-pip-version-check \
    --no-index --find-links=. "./$APP_WHEEL$APP_EXTRAS"

: >"$release/.complete-$APP_RELEASE"
ln -sfn "$APP_RELEASE" "$APP_ROOT/.current"
mv -T "$APP_ROOT/.current" "$APP_ROOT/current"

# What runs at this moment is the release before: keep it.
cd /
rm -rf "$APP_ROOT"/.incoming-*
for old in "$APP_ROOT"/????????????; do
    case ${old##*/} in
        "$APP_RELEASE" | "$previous") ;;
        *[!0-9a-f]*) ;;
        *) rm -rf "$old" ;;
    esac
done

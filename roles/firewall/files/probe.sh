#!/bin/sh
# Exit 0 if the rules are there, are loaded at every boot, and are in force (or none of it, where
# PROBE_ENABLED is not 1); 1 if not; 2 if nft is missing.
set -u
unit=/etc/systemd/system/$PROBE_UNIT
if [ "$PROBE_ENABLED" != 1 ]; then
    test ! -e "$PROBE_RULES" && test ! -e "$unit" &&
        ! nft list table inet clusterops >/dev/null 2>&1
    exit
fi
command -v nft >/dev/null || exit 2
test -e "/etc/systemd/system/sysinit.target.wants/$PROBE_UNIT" || exit 1
printf '%s  %s\n%s  %s\n' "$PROBE_UNIT_SHA256" "$unit" "$PROBE_RULES_SHA256" "$PROBE_RULES" |
    sha256sum --check --status 2>/dev/null || exit 1
systemctl is-active --quiet "$PROBE_UNIT" || exit 1
nft list table inet clusterops | grep -qF "comment \"$PROBE_ID\"" || exit 1

#!/bin/sh
# Exit 0 if the release is installed, its unit is written and enabled, and it is what runs; else 1.
set -u
units=/etc/systemd/system
test -e "$PROBE_COMPLETE" || exit 1
test -e "$units/multi-user.target.wants/$PROBE_UNIT" || exit 1
echo "$PROBE_UNIT_SHA256  $units/$PROBE_UNIT" | sha256sum --check --status || exit 1
systemctl is-active --quiet "$PROBE_UNIT" || exit 1
pid=$(systemctl show --property=MainPID --value "$PROBE_UNIT") || exit 1
tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null |
    grep -qxF "CLUSTEROPS_METRICS_API_RELEASE=$PROBE_RELEASE" || exit 1

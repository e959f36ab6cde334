# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made from the metrics: dashboards for Grafana, and the table in docs/monitoring.md."""

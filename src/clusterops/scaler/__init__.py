# SPDX-License-Identifier: GPL-3.0-or-later
"""The scaler: observes the cluster, decides how many agents should serve, and acts by playbook.

``model``, ``decide``, ``reconcile`` and ``policies`` are pure; ``observe``, ``actuator``,
``store`` and ``api`` are the thin shell around them; ``daemon`` ties them together.
"""

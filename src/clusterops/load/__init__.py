# SPDX-License-Identifier: GPL-3.0-or-later
"""Load for the application, by Locust in a process of its own.

Nothing in here but :mod:`clusterops.load.runner` imports Locust or gevent: gevent replaces
parts of the standard library, which the command line and the tests must never see.
"""

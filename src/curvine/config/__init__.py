# SPDX-License-Identifier: Apache-2.0
"""Typed configuration: every key declared once (schema*), read from file, environment and flags."""

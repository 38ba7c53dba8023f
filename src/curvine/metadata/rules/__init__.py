# SPDX-License-Identifier: Apache-2.0
"""What each operation means: pure functions over a draft, one module per family.

A rule reads and writes the draft it is given and nothing else: no store, no clock, no network. It
raises the error that the caller gets (kinds: control-plane specification, section 5).
"""

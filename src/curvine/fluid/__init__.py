# SPDX-License-Identifier: Apache-2.0
"""Curvine under Fluid: the configuration that a ThinRuntime is given, and what becomes of it."""

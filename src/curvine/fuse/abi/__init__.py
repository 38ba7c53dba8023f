# SPDX-License-Identifier: Apache-2.0
"""The kernel's FUSE protocol 7.31 to 7.45: numbers, layouts, one opcode table. No descriptors."""

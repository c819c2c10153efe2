"""Tests: unit (no I/O), integration (files, pseudo-terminals, processes), scenarios (a whole gate), bench (speed)."""

"""A whole gate: the real programs, simulated wires, real files and HTTP between them."""

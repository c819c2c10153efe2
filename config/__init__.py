"""Floor 1: what this gate is. Settings, policy and the error tree, checked once; no behaviour."""

"""Floor 3: evidence becomes a verdict, a journal record, a screen and an output pulse."""

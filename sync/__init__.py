"""Floor 4: the journal travels to the central in signed batches. The only network client."""

"""The laboratory: what a choice of target network does, measured and compared."""

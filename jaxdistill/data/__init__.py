"""From files or the hub to batches: tasks, readers, tokens, batches. NumPy only, no jax."""

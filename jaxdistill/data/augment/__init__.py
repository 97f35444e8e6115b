"""New texts made of the train texts, for a teacher to label: numbers and text, no model, no jax."""

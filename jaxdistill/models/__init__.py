"""Models in Flax Linen and their way from and to Hugging Face. The only room that imports Flax."""

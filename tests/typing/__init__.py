"""Code as users write it, for the type checker alone: `make types` reads it, nothing runs it."""

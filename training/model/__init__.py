"""The network: one text encoder, one user encoder, many heads."""

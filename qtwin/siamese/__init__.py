"""The Siamese side: the same twin, the same targets, the same regression, with nothing collected."""

"""Our own question sets over real clips and photos, each beside its baselines; the program is used from outside."""

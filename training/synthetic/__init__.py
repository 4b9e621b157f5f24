"""Films made of photos and drawn things, with exact truth: what is where, what moves, when."""

"""Alert rules in plain language: scored on what a camera has seen anyway, debounced, and looked at twice."""

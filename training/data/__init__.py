"""Training data in the field's own formats: recognised, checked, shuffled, sharded, resumed and mixed.

    open_dataset(path) ──> Dataset ──> Stream ──> Mixture ──> segments

`python -m training.data PATH` says what a file is, how many of its records can be used, and which cannot and why.
"""
